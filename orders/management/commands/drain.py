"""`manage.py drain`: nothing new is sold, and what was begun and is not over is counted. How an LSP leaves."""

from __future__ import annotations

import sys
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Count, Max

from orders import actors, queries
from orders.errors import InvalidField
from orders.management.commands.pause import told
from orders.management.commands.retry_give_up import os_user
from orders.models import ChannelOrder, SwitchName
from orders.operations import pausing
from orders.states import OrderState
from orders.story import when

#: What is not over, and what each waits for.
UNDER_WAY: Final = {
    OrderState.CREATED: "unpaid: paid, or over by themselves when their time ends",
    OrderState.PAID: "paid, and to be claimed: in their window, else the payment goes back",
    OrderState.URI_SET: "claimed: opened, or given up, in their window",
    OrderState.OPENING: "opening: their funding is published, or was begun",
    OrderState.GIVE_UP: "given up: what is held goes back; what was paid on chain is for a person to return",
    OrderState.REJECTED: "cancelled, the money with us: for a person to return",
}


class Command(BaseCommand):
    """The exit code is 0 when nothing is left, so that a script can wait for it."""

    help = "Sells nothing new, and says what of what was begun is not over; exit code 1 until it is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="We sell no more channels.", metavar="TEXT", help="for buyers to read")

    def handle(self, *args: Any, reason: str, **options: Any) -> None:
        paused = queries.paused(SwitchName.SALES)
        try:
            paused = paused or pausing.pause(SwitchName.SALES, reason=reason, actor=actors.command(os_user()))
        except InvalidField as error:
            raise CommandError(error.message) from error
        self.stdout.write(told(paused))
        left = self._tell_what_is_left()
        self._tell_what_stays()
        if left:
            sys.exit(1)
        self.stdout.write("nothing is left: worker, streams and API can be stopped for good")

    def _tell_what_is_left(self) -> bool:
        """Whether anything is."""
        counted = ChannelOrder.objects.filter(state__in=UNDER_WAY).order_by().values_list("state").annotate(Count("pk"))
        found = dict(counted)
        for state, what in UNDER_WAY.items():
            if state in found:
                self.stdout.write(f"{found[state]:>6} {what}")
        flagged = ChannelOrder.objects.filter(standing_flags__gt=0).count()
        if flagged:
            self.stdout.write(f"{flagged:>6} flagged: need a person (the admin, or manage.py doctor)")
        return bool(found or flagged)

    def _tell_what_stays(self) -> None:
        """Channels that are sold: closing them is for the node's owner, and no sooner than was promised."""
        sold = ChannelOrder.objects.filter(state=OrderState.OPEN)
        last = sold.aggregate(last=Max("lease_ends_at"))["last"]
        if last is not None:
            self.stdout.write(f"{sold.count():>6} channels are open; the last that was promised ends {when(last)}")
