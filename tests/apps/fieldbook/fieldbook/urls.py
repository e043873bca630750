from django.urls import path

from sightings import views

urlpatterns = [
    path("", views.index, name="index"),
    path("healthz", views.healthz),
]
