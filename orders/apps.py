"""The domain's Django app."""

from django.apps import AppConfig


class OrdersConfig(AppConfig):
    """Orders, their payments and their openings."""

    name = "orders"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Channel orders"
