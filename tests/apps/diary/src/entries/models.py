from django.db import models


class Entry(models.Model):
    title = models.CharField(max_length=200)
    photo = models.FileField(upload_to="photos/%Y", blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created"]
        verbose_name_plural = "entries"

    def __str__(self):
        return self.title
