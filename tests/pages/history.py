"""`python -m tests.pages.history 150` beside a running server: a shop that has been open for months, and its staff.

Only orders at rest, whose channels nobody looks for: what is under way is the server's own doing. On stdout: the
reference of an order in each state.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from io import StringIO
from random import Random
from typing import Any, Final

PASSWORD: Final = "look-at-the-pages"
_ENDS: Final = ("closed",) * 15 + ("expired",) * 5 + ("refunded",) * 2
_CLOSES: Final = ("cooperative_close",) * 6 + ("remote_force_close", "local_force_close", "")
_CAUSES: Final = {"closed": "channel_closed", "expired": "expired", "refunded": "gave_up"}
_WHY: Final = ("PEER_NOT_REACHABLE", "PEER_NOT_REACHABLE", "CHANNEL_REJECTED", "FEE_TOO_HIGH")

#: The books were kept all the time: an order's entries are of the moment when its channel opened, or it was paid.
_WHEN: Final = """
    coalesce((SELECT coalesce(o.opened_at, o.paid_at, o.created_at) FROM orders_channelorder o
               WHERE o.id = legs.order_id), now())
"""


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lsp_site.settings")
    import django

    django.setup()
    _staff()
    _orders(Random(11), orders=int(sys.argv[1]), days=120)
    _buy()
    print(json.dumps(_references()))


def _staff() -> None:
    from django.contrib.auth.models import Permission, User

    User.objects.create_superuser("boss", password=PASSWORD)
    viewer = User.objects.create_user("viewer", password=PASSWORD, is_staff=True)
    viewer.user_permissions.set(
        Permission.objects.filter(codename__startswith="view_", content_type__app_label="orders")
    )


def _orders(chance: Random, orders: int, days: int) -> None:
    from django.db import transaction
    from django.utils import timezone

    from orders.auditing import checking
    from tests import booking

    now = timezone.now()
    with transaction.atomic():
        for number in range(orders):
            age = timedelta(days=days * (1 - (number / orders) ** 0.7), seconds=chance.randrange(50_000) + 90_000)
            _one(chance, now - age, chance.choice(_ENDS))
        _one(chance, now - timedelta(days=3), "rejected")
        booking.carry(_WHEN)
    checking.remember(checking.check(None))


def _buy() -> None:
    """One order more, as a wallet buys it."""
    from django.conf import settings
    from django.core.management import call_command

    settings.LND_GRPC = ""  # the command is for who has no node of his own, as this server has none
    call_command("buy", stdout=StringIO())


def _one(chance: Random, made: Any, end: str) -> None:
    from django.utils import timezone

    from orders import blocks
    from orders.causes import Cause
    from orders.models import OrderEvent
    from tests.factories import OpeningFactory, OrderFactory

    now = timezone.now()
    paid = made + timedelta(minutes=chance.randrange(1, 30))
    opened = paid + timedelta(minutes=int(chance.lognormvariate(3.4, 0.7)))
    fields: dict[str, Any] = {
        "lsp_balance_sat": chance.choice([500_000, 1_000_000, 2_000_000, 2_000_000, 5_000_000, 10_000_000]),
        "client_balance_sat": chance.choice([0, 0, 50_000, 200_000]),
        "channel_expiry_blocks": chance.choice(_terms(now - opened)),
        "created_at": made,
    }
    if end != "expired":
        fields["paid_at"] = paid
    if end == "closed":
        ends = opened + blocks.lasting(fields["channel_expiry_blocks"])
        fields |= {"opened_at": opened, "claimed_at": paid, "lease_starts_at": opened}
        fields["closed_at"] = min(ends + timedelta(hours=chance.randrange(1, 20)), now - timedelta(hours=1))
    if end == "refunded":
        fields["give_up_reason"] = chance.choice(_WHY)
    # In a block that nobody reads any more: the node's wallet has no such deposit.
    order = OrderFactory(**{end: True}, deposits__block_height=1, **fields)
    if end == "refunded":
        order.node_pubkey = f"02{chance.randrange(16**64):064x}"
        order.claimed_at = paid
        order.save()
        for _ in range(chance.randrange(1, 4)):
            OpeningFactory(order=order, failed=True, failure_reason=order.give_up_reason, created_at=paid)
    kind = chance.choice(_CLOSES) if end == "closed" else ""
    order.openings.filter(state="confirmed").update(created_at=paid, close_type=kind)
    ended = _CAUSES.get(end, Cause.CANCELLED)
    for version, (cause, state, at) in enumerate(((Cause.QUOTED, "created", made), (ended, end, opened)), start=1):
        OrderEvent.objects.create(
            order=order, version=version, at=at, actor="lsp", cause=cause, to_state=state,
            from_state="" if version == 1 else "created",
        )  # fmt: skip


def _terms(age: timedelta) -> list[int]:
    """Those that are over: a channel that stands would be looked for at the node."""
    from orders import blocks

    terms = [weeks * blocks.WEEK for weeks in (1, 4, 8, 12)]
    return [term for term in terms if blocks.lasting(term) + timedelta(days=1) < age] or terms[:1]


def _references() -> dict[str, str]:
    from orders import keys
    from orders.models import ChannelOrder

    return {state: keys.reference(pk) for state, pk in ChannelOrder.objects.values_list("state", "pk")}


if __name__ == "__main__":
    main()
