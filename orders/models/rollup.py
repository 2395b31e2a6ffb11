"""How things stood from time to time, and what each day came to: so that charts of years read few rows."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from orders.models.order import ChannelOrder


class RollUpName(models.TextChoices):
    """What is added up by day."""

    MONEY = "money", "What the books have"
    STOCK = "stock", "Capacity and coins"
    UPTIME = "uptime", "Uptime"
    ROUTING = "routing", "Forwards"
    FIGURES = "figures", "What was asked, paid and sold"
    EARNED = "earned", "What orders have earned"


class RollUp(models.Model):
    """How far something is added up."""

    name = models.CharField(max_length=16, primary_key=True, choices=RollUpName.choices)
    through = models.DateField(null=True, help_text="The last day that is added up for good.")
    meaning = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Which statements it was made by, where others make it anew.",
    )
    looked_through = models.DateField(
        null=True, help_text="The last day that was compared with what it comes from, one after the other."
    )
    astray = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="What was found to be kept wrong; empty: nothing.",
    )
    whole_from = models.DateField(null=True, help_text="The first day of which all is still there that it comes from.")

    def __str__(self) -> str:
        return self.name


class Stock(models.Model):
    """Our channels and coins at a moment. What is counted from the node's coins is empty before it was seen."""

    sold_sat = models.BigIntegerField(help_text="In channels that stand, both sides.")
    total_sat = models.BigIntegerField(null=True, help_text="Of our coins, what can be sold at all.")
    promised_sat = models.BigIntegerField(null=True)
    free_sat = models.BigIntegerField(null=True)
    available_sat = models.BigIntegerField(null=True)
    reserved_sat = models.BigIntegerField()
    deep_sat = models.BigIntegerField(null=True, help_text="Deep enough to fund channels.")
    deep_coins = models.PositiveIntegerField(null=True)
    leased_sat = models.BigIntegerField(null=True)
    young_sat = models.BigIntegerField(null=True)

    class Meta:
        abstract = True


class StockSample(Stock):
    """As it was at a moment: one in an hour, kept for some weeks."""

    at = models.DateTimeField(unique=True, help_text="The hour.")
    taken_at = models.DateTimeField()

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H}"


class StockDay(Stock):
    """As the last sample of the day has it."""

    day = models.DateField(primary_key=True)
    samples = models.PositiveIntegerField()
    least_available_sat = models.BigIntegerField(null=True, help_text="Of all samples of the day.")

    class Meta:
        ordering = ["day"]

    def __str__(self) -> str:
        return f"{self.day}"


class Alive(models.Model):
    """From when to when a process, or the node, gave signs of life without a pause."""

    name = models.CharField(max_length=32)
    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        ordering = ["name", "since"]
        verbose_name_plural = "alive"
        indexes = [models.Index(fields=["name", "-until"], name="alive_last")]
        constraints = [models.UniqueConstraint(fields=["name", "since"], name="alive_begins_once")]

    def __str__(self) -> str:
        return self.name


class UptimeDay(models.Model):
    """For how long of a day something was alive, of the time since it first was."""

    day = models.DateField()
    name = models.CharField(max_length=32)
    up_seconds = models.PositiveIntegerField()
    counted_seconds = models.PositiveIntegerField()

    class Meta:
        ordering = ["day", "name"]
        constraints = [models.UniqueConstraint(fields=["day", "name"], name="uptime_day_once")]

    def __str__(self) -> str:
        return f"{self.day}: {self.name}"


class MoneyDay(models.Model):
    """What the books have of a day, of all orders and of none. Costs are positive."""

    day = models.DateField(primary_key=True)
    sale_fees_msat = models.BigIntegerField()
    open_cost_msat = models.BigIntegerField()
    bump_cost_msat = models.BigIntegerField()
    close_cost_msat = models.BigIntegerField()
    refund_cost_msat = models.BigIntegerField()
    refund_borne_msat = models.BigIntegerField(help_text="What of that the buyers have borne.")
    losses_msat = models.BigIntegerField()
    channels_msat = models.BigIntegerField(help_text="What went into channels, less what came back.")
    #: A bigint has not room for it.
    channels_msat_seconds = models.DecimalField(
        max_digits=30, decimal_places=0, help_text="Each of these for the rest of the day."
    )

    class Meta:
        ordering = ["day"]

    def __str__(self) -> str:
        return f"{self.day}"


class DayFigure(models.Model):
    """What one figure comes to on a day that is over: sums of what these words tell apart."""

    day = models.DateField()
    figure = models.CharField(max_length=16)
    words = ArrayField(models.TextField())
    #: A bigint has not room for millisatoshis by seconds.
    sums = ArrayField(models.DecimalField(max_digits=40, decimal_places=0))

    class Meta:
        ordering = ["figure", "day", "words"]
        constraints = [models.UniqueConstraint(fields=["figure", "day", "words"], name="day_figure_once")]

    def __str__(self) -> str:
        return f"{self.figure} {self.day}"


class StaleDay(models.Model):
    """Something changed what this day comes to: it is counted anew until it is kept anew. Written by triggers."""

    day = models.DateField()

    def __str__(self) -> str:
        return f"{self.day}"


class OrderEarned(models.Model):
    """What an order ever earned, once it is over; of one that is not, that there is such an order. Costs are positive.

    Over: its entries and forwards are of days that are over, and the books have nothing of it in channels.
    """

    order = models.OneToOneField(ChannelOrder, primary_key=True, on_delete=models.CASCADE, related_name="earned")
    is_over = models.BooleanField()
    counts = models.BooleanField(help_text="It has anything at all.")
    is_channel = models.BooleanField()
    first_day = models.DateField(help_text="On which the books, or a forward, have something of it.")
    last_day = models.DateField()
    capacity_sat = models.BigIntegerField(null=True)
    opened_at = models.DateTimeField(null=True)
    unpaid_msat = models.BigIntegerField()
    sale_fees_msat = models.BigIntegerField()
    routing_msat = models.BigIntegerField()
    open_cost_msat = models.BigIntegerField()
    bump_cost_msat = models.BigIntegerField()
    close_cost_msat = models.BigIntegerField()
    refund_cost_msat = models.BigIntegerField()
    refund_borne_msat = models.BigIntegerField()
    losses_msat = models.BigIntegerField()
    #: A bigint has not room for it.
    bound_msat_seconds = models.DecimalField(max_digits=40, decimal_places=0)
    capital_cost_msat = models.BigIntegerField(help_text="At what capital cost when it was kept.")
    costs_msat = models.BigIntegerField()
    profit_msat = models.BigIntegerField()

    class Meta:
        ordering = ["order"]
        indexes = [
            models.Index(fields=["last_day", "first_day"], name="earned_ended", condition=Q(is_over=True)),
            models.Index(  # whatever a list is ordered by
                fields=["last_day", "first_day"],
                name="earned_listed",
                condition=Q(is_over=True, counts=True, is_channel=True),
                include=[
                    "order",
                    "capacity_sat",
                    "opened_at",
                    "sale_fees_msat",
                    "routing_msat",
                    "bound_msat_seconds",
                    "capital_cost_msat",
                    "costs_msat",
                    "profit_msat",
                ],
            ),
            models.Index(fields=["order"], name="earned_not_over", condition=Q(is_over=False)),
            models.Index(
                fields=["profit_msat", "order"],
                name="earned_most",
                condition=Q(is_over=True, counts=True, is_channel=True),
                include=["first_day", "last_day"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_id}"


class StaleOrder(models.Model):
    """Something changed what this order has earned: it is reckoned until it is kept anew. Written by triggers."""

    order = models.ForeignKey(ChannelOrder, on_delete=models.CASCADE, related_name="+", db_constraint=False)

    def __str__(self) -> str:
        return f"{self.order_id}"
