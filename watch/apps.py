"""The watch's Django app."""

from django.apps import AppConfig


class WatchConfig(AppConfig):
    """The doctor and the alerts. It has no models: what was told is a row of the orders' app."""

    name = "watch"
    verbose_name = "Watch"
