from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from django.shortcuts import redirect, render

from fieldbook import __version__

from .models import Sighting


def index(request):
    if request.method == "POST":
        Sighting.objects.create(species=request.POST["species"])
        return redirect("index")
    cache.set("visitor", request.META["REMOTE_ADDR"])
    sightings = Sighting.objects.order_by("-seen")[:20]
    return render(request, "index.html", {"sightings": sightings, "version": __version__})


def healthz(request):
    connection.ensure_connection()
    return HttpResponse("ok")
