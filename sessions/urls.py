from django.urls import path

from sessions import checkup, conversations, views, webhooks

app_name = "sessions"
urlpatterns = [
    path("personas/<slug:slug>/", views.room, name="room"),
    path("personas/<slug:slug>/trial/", views.trial, name="trial"),
    path("sessions/<uuid:session_id>/leave", views.leave, name="leave"),
    path("webhooks/livekit/", webhooks.from_livekit, name="livekit_webhook"),
    path("check/", checkup.check, name="check"),
    path("check/room", checkup.room, name="check_room"),
    path("conversations/", conversations.conversations, name="conversations"),
    path("conversations/erase/", conversations.erase, name="erase"),
    path("conversations/<uuid:session_id>/", conversations.conversation, name="conversation"),
    path("conversations/<uuid:session_id>/transcript.txt", conversations.transcript, name="transcript"),
]
