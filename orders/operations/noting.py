"""What a person says of an order, or has done with money at the node beside the machines: in its journal."""

from __future__ import annotations

import logging
import unicodedata
from typing import Final
from uuid import UUID

from orders.actors import Authority, Kind, open_to
from orders.causes import Cause
from orders.errors import InvalidField
from orders.models import ChannelOrder
from orders.transitions import locked, note

log = logging.getLogger(__name__)

NOTE: Final = "note"
LONGEST_NOTE: Final = 2_000
#: A tab; and what parts and joins letters of Persian, Hindi and others (ZWNJ), and the pictures of an emoji (ZWJ).
_TAKEN: Final = "\t\u200c\u200d"
_REFUSED: Final = "A note has no control characters, nor what is not seen or turns the text beside it round"


@open_to(Kind.STAFF, Kind.COMMAND)
def write(order_id: UUID, text: str, *, actor: Authority) -> ChannelOrder:
    """The order has one more note, in the name of who wrote it. Nobody changes it or takes it away any more.

    Money: unchanged. Repeat: one more note. Raises: OrderNotFound, InvalidField.
    """
    text = read_note(text)
    with locked(order_id) as order:
        note(order, Cause.NOTED, actor=actor, note=text)
    return order


def read_note(text: str) -> str:
    """The note that was typed, its lines as they were. Raises: InvalidField."""
    lines = [line.rstrip() for line in text.strip().splitlines()]
    if not any(lines) or len(text) > LONGEST_NOTE:
        raise InvalidField(f"A note of 1 to {LONGEST_NOTE:,} characters is required.", field=NOTE)
    if refused := next((char for line in lines for char in line if not _is_seen(char)), ""):
        raise InvalidField(f"{_REFUSED}: U+{ord(refused):04X}.", field=NOTE)
    return "\n".join(lines)


def _is_seen(char: str) -> bool:
    """It shows as itself, is a blank, or joins letters; it does not turn round what stands beside it."""
    return char.isprintable() or char in _TAKEN or unicodedata.category(char) == "Zs"


@open_to(Kind.COMMAND)
def moved(order_id: UUID | None, payment_hash: str, amount_sat: int, *, cause: Cause, actor: Authority) -> None:
    """Who has moved which payment is on record; in the journal too where there is a row of the order."""
    log.warning("order=%s payment=%s %d sat: %s by %s", order_id, payment_hash, amount_sat, cause, actor)
    if order_id is not None and ChannelOrder.objects.filter(pk=order_id).exists():
        with locked(order_id) as order:
            note(order, cause, actor=actor, payment_hash=payment_hash, amount_sat=amount_sat)
