from django.urls import path

from avatars.models.personas import BRAIN_PATH
from sessions.embed import views as embed_views
from sessions.endpoint import views as endpoint_views
from sessions.personal_data import views as personal_data_views
from sessions.web import device_check, livekit_webhook, my_conversations, views

app_name = "sessions"
urlpatterns = [
    path("personas/<slug:slug>/", views.room, name="room"),
    path("personas/<slug:slug>/trial/", views.trial, name="trial"),
    path("personas/<slug:slug>/withdraw", views.withdraw_consent, name="withdraw_consent"),
    path("sessions/<uuid:session_id>/leave", views.leave, name="leave"),
    path("embed/link/<str:signed>/", embed_views.link, name="guest_link"),
    path("embed/<slug:public_id>/", embed_views.frame, name="embed"),
    path("embed.js", embed_views.script, name="embed_script"),
    path("embed/<slug:public_id>/preview", embed_views.preview, name="guest_preview"),
    path("embed/<slug:public_id>/check/", embed_views.check, name="embed_check"),
    path("embed/<slug:public_id>/check/site", embed_views.check_site, name="embed_check_site"),
    path("embed/<slug:public_id>/visit", embed_views.visit, name="guest_visit"),
    path("embed/<slug:public_id>/erase", embed_views.erase, name="guest_erase"),
    path("embed/<slug:public_id>/sessions/<uuid:session_id>/leave", embed_views.leave, name="guest_leave"),
    path("webhooks/livekit/", livekit_webhook.receive_event, name="livekit_webhook"),
    path(f"{BRAIN_PATH.removeprefix('/')}/chat/completions", endpoint_views.chat_completions, name="brain"),
    path("check/", device_check.check, name="check"),
    path("check/room", device_check.room, name="check_room"),
    path("data/", personal_data_views.overview, name="personal_data"),
    path("data/close/", personal_data_views.close_account, name="close_account"),
    path("data/<str:extension>", personal_data_views.download, name="personal_data_download"),
    path("conversations/", my_conversations.conversations, name="conversations"),
    path("conversations/erase/", my_conversations.erase, name="erase"),
    path("conversations/<uuid:session_id>/", my_conversations.conversation, name="conversation"),
    path(
        "conversations/<uuid:session_id>/answers/<int:answer_id>/sources/<int:number>/",
        my_conversations.source,
        name="source",
    ),
    path("conversations/<uuid:session_id>/transcript.txt", my_conversations.transcript, name="transcript"),
]
