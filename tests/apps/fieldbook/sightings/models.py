from django.db import models


class Sighting(models.Model):
    species = models.CharField(max_length=100)
    seen = models.DateTimeField(auto_now_add=True)
    checked = models.DateTimeField(null=True)
