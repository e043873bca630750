import logging

from django.forms import modelform_factory
from django.shortcuts import redirect, render

from .models import Entry

logger = logging.getLogger(__name__)
EntryForm = modelform_factory(Entry, fields=["title", "photo"])


def index(request):
    form = EntryForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        entry = form.save()
        logger.info("new entry: %s", entry)
        return redirect("index")
    return render(request, "entries/index.html", {"form": form, "entries": Entry.objects.all()[:25]})
