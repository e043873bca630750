from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sightings", "0001_initial")]
    operations = [
        migrations.AddField(model_name="sighting", name="checked", field=models.DateTimeField(null=True)),
    ]
