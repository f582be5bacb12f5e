from django.urls import path

from sessions import views

app_name = "sessions"
urlpatterns = [
    path("personas/<slug:slug>/", views.room, name="room"),
]
