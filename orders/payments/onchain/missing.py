"""What paid an order is in no block any more: it comes back, or its rival is deep, and then it never will.

LND's wallet goes on listing a deposit whose rival pays somebody else. So only a chain source can prove that, and
without one a person decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.conf import settings

from chain import connection as chain
from orders import money
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder
from orders.models.order import Rail
from orders.payments.counting import unpay
from orders.payments.onchain import due, foreseeing
from orders.payments.onchain.foreseeing import Whereabouts
from orders.states import DELIVERED, UNDELIVERED, At, DepositState, OpeningState
from orders.transitions import locked, note

#: Of one order, the largest first: who has paid with more of them waits for a person.
_MOST_ASKED: Final = 10
_PUBLISHED: Final = frozenset({OpeningState.PUBLISHED, OpeningState.CONFIRMED})


def is_missing(order: ChannelOrder) -> bool:
    """It was paid by deposits that blocks do not have any more, nobody knows yet what that means, and somebody can say.

    Not what was taken in no block: that has rules of its own.
    """
    return (
        order.counted_payment == Rail.ONCHAIN
        and not order.on_credit
        and not money.of(order, At.CONFIRMED, rail=Rail.ONCHAIN).is_covered
        and (_may_end(order) or _may_be_lost(order))
        and chain.node() is not None
    )


def _may_end(order: ChannelOrder) -> bool:
    """Nothing is delivered for it, nor being delivered; and nothing of it goes back just now."""
    return order.state in UNDELIVERED and order.live_opening is None and due.live(order) is None


def _may_be_lost(order: ChannelOrder) -> bool:
    """Its funding is published, and nobody has been told yet that it is for nothing."""
    is_published = order.state in DELIVERED and any(row.state in _PUBLISHED for row in order.openings.all())
    return is_published and not order.events.filter(cause=Cause.PAYMENT_LOST).exists()


def follow(order: ChannelOrder, *, is_delivered: Callable[[], bool]) -> bool:
    """Whether it is over: a rival of its deposits was in the chain `FINAL_DEPTH_BLOCKS` ago, and is there still.

    Money: an order of which nothing was delivered is unpaid: what is left of its deposits goes back once it is final;
    one that comes back after all is a late payment. Else it is a loss, with a name.
    `is_delivered`: the node has its channel, though our records, which were put back, do not know: then it stays.
    Repeat: safe.
    """
    if not is_missing(order) or not _is_rivalled(order):
        return False
    height, since = order.lsp_node.deposits_height or 0, _rivalled_since(order)
    if since is None:
        _note_rival(order.pk, height)
    if since is None or height - since + 1 < settings.FINAL_DEPTH_BLOCKS:
        return False
    if order.state in UNDELIVERED and is_delivered():
        return False
    with locked(order.pk) as held:
        is_over = is_missing(held)
        if is_over:
            _end(held)
    return is_over


def _end(order: ChannelOrder) -> None:
    if order.state in UNDELIVERED:
        unpay(order, cause=Cause.DEPOSIT_DOUBLE_SPENT)
        return
    note(order, Cause.PAYMENT_LOST, rail=str(Rail.ONCHAIN), amount_sat=order.order_total_sat)
    words = "The funding is published, and the deposit that had paid for it was double-spent: this channel is unpaid."
    raise_flag(order, FlagKind.UNPAID_CHANNEL, words)


def _is_rivalled(order: ChannelOrder) -> bool:
    """Blocks have what spends so many of its coins elsewhere that the rest does not pay it."""
    rows = list(order.onchain_payments.all())
    unmined = sorted((row for row in rows if row.state != DepositState.CONFIRMED), key=lambda row: -row.amount_sat)
    where = foreseeing.whereabouts(unmined[:_MOST_ASKED])
    possible = [row.amount_sat for row in rows if where.get(row.txid) is not Whereabouts.RIVALLED]
    return sum(possible) < order.order_total_sat


def _rivalled_since(order: ChannelOrder) -> int | None:
    """The height at which a rival was first found since its deposits were last in a block."""
    told = order.events.filter(cause__in=[Cause.DEPOSIT_RIVALLED, Cause.DEPOSIT_CONFIRMED]).last()
    return int(told.facts["height"]) if told is not None and told.cause == Cause.DEPOSIT_RIVALLED else None


def _note_rival(order_id: UUID, height: int) -> None:
    with locked(order_id) as order:
        if is_missing(order) and _rivalled_since(order) is None:
            note(order, Cause.DEPOSIT_RIVALLED, height=height)
