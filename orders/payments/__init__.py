"""The ways to pay. A rail is a room of its own here and a model; `RAILS` is where the others find it."""

from typing import Final

from orders.models.order import Rail
from orders.payments import lightning, onchain
from orders.payments.rail import PaymentRail

#: Whoever asks a rail for something asks through this table, also within the rails: none knows another.
RAILS: Final[dict[Rail, PaymentRail]] = {Rail.LIGHTNING: lightning, Rail.ONCHAIN: onchain}
