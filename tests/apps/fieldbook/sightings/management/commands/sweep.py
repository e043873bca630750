import signal
import threading

from django.core.management.base import BaseCommand
from django.utils import timezone

from sightings.models import Sighting


class Command(BaseCommand):
    help = "Check new sightings, again and again."

    def add_arguments(self, parser):
        parser.add_argument("--every", type=float, default=60)

    def handle(self, every, **options):
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        while not stop.wait(every):
            if done := Sighting.objects.filter(checked=None).update(checked=timezone.now()):
                self.stdout.write(f"checked {done} sightings")
                self.stdout.flush()
