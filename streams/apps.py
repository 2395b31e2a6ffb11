"""The Django app of the streams process."""

from django.apps import AppConfig


class StreamsConfig(AppConfig):
    """Speed: whoever waits for a node's event or a due time waits no longer than it takes. It has no models."""

    name = "streams"
    label = "streams"
    verbose_name = "Streams"
