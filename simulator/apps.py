"""The simulator's Django app."""

from django.apps import AppConfig


class SimulatorConfig(AppConfig):
    """A node for development. It has commands, and no models."""

    name = "simulator"
    verbose_name = "Simulator"
