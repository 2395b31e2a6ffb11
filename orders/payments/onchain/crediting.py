"""An order is taken for paid while its deposits are in no block: off by default, and never beyond the bounds.

Whoever pays so can take it back: nearly every node takes a replacement. So nothing here rests on what a transaction
says of itself, and what all such orders together can cost us is bounded, under the lock of sales.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q, QuerySet, Sum
from django.utils import timezone

from chain import connection as chain
from lightning.node import LndNode
from orders import money, queries, serving
from orders.actors import LSP
from orders.admission import placing, rules
from orders.causes import Cause, FlagKind
from orders.flags import raise_flag
from orders.models import ChannelOrder, Credit, NodeSnapshot, OnchainPayment
from orders.models.order import Rail
from orders.payments.counting import pay, unpay
from orders.payments.onchain import depth, foreseeing, payers
from orders.payments.onchain.foreseeing import Whereabouts
from orders.payments.onchain.reserving import patience
from orders.payments.rail import Security
from orders.queries import deposits_of
from orders.states import UNDELIVERED, At, DepositState, OpeningState, OrderState
from orders.transitions import locked, note

#: Of one order: who pays with more transactions waits for their blocks.
_MOST_ASKED: Final = 3
#: It is looked at each minute; who has not done so for so long was not there.
_STOOD_STILL: Final = timedelta(minutes=10)
_RELIED_ON: Final = frozenset({Whereabouts.WAITS, Whereabouts.MINED})
_OVER: Final = frozenset({OrderState.EXPIRED, OrderState.REJECTED, OrderState.REFUNDED})


class Standing(StrEnum):
    """What became of deposits that were taken in no block."""

    DEEP = "deep"  # as deep as any deposit must be
    THERE = "there"  # in a block, or in the mempool with confirmed coins alone
    AWAY = "away"  # nobody knows just now
    GONE = "gone"  # a rival is in a block; or for so long nobody has known that it is there


# Offered


def is_on() -> bool:
    """Without a chain source nobody can tell what a stranger's transaction pays, or that it was replaced."""
    return bool(settings.ZERO_CONF_MAX_SAT) and chain.node() is not None


def satvbyte(sat_per_kw: int) -> int:
    """The rate in whole satoshis for a vbyte, which has four units of weight; rounded up."""
    return -(-sat_per_kw * 4 // 1000)


def offered_satvbyte(order_total_sat: int, seen: NodeSnapshot) -> int | None:
    """Above which rate deposits for such an order may be taken in no block; None: they are not."""
    if not is_on() or _beyond(order_total_sat, outstanding_sat(), seen):
        return None
    return satvbyte(seen.estimate_sat_per_kw)


def _beyond(amount_sat: int, out_sat: int, seen: NodeSnapshot) -> bool:
    """More than one may pay so, or than all may; or chain fees are in a spike, when nothing is sure to be mined."""
    return (
        amount_sat > settings.ZERO_CONF_MAX_SAT
        or out_sat + amount_sat > settings.ZERO_CONF_TOTAL_MAX_SAT
        or satvbyte(seen.estimate_sat_per_kw) > settings.ZERO_CONF_MAX_SATVBYTE
    )


def _counting() -> QuerySet[Credit]:
    """Those that may cost us something yet; and those that did, while nobody has seen that."""
    unseen = Q(order__flags__kind=FlagKind.UNPAID_CHANNEL, order__flags__lowered_at=None)
    lost = Credit.objects.filter(unseen, lost_at__isnull=False)
    return Credit.objects.filter(Q(ended_at=None) | Q(pk__in=lost.values("pk")))


def outstanding_sat(node_pubkey: str = "", *, besides: UUID | None = None) -> int:
    """What all such orders, or those of this node, may cost us together."""
    rows = _counting().exclude(order=besides) if besides else _counting()
    rows = rows.filter(order__node_pubkey=node_pubkey) if node_pubkey else rows
    return int(rows.aggregate(sum=Sum("amount_sat"))["sum"] or 0)


def _channels_sat(besides: UUID) -> int:
    """What the channels of all such orders are worth: our coins are in them until somebody closes them."""
    rows = _counting().exclude(order=besides)
    total = rows.aggregate(sum=Sum(F("order__lsp_balance_sat") + F("order__client_balance_sat")))
    return int(total["sum"] or 0)


# Given


def consider(order: ChannelOrder) -> None:
    """The unpaid order is PAID by deposits in no block, if the source says so of each, and the bounds have room.

    Its coins must be kept for them already (`foreseeing`), so it drives out nobody. Repeat: safe.
    """
    floor, seen = order.zero_conf_satvbyte, queries.snapshot()
    if floor is None or seen is None or not is_on() or not _is_in_time(order) or not placing.is_coming(order):
        return
    rows = OnchainPayment.objects.filter(order=order.pk, state=DepositState.SEEN)
    txids = list(dict.fromkeys(rows.order_by("-amount_sat").values_list("txid", flat=True)))[:_MOST_ASKED]
    sure = {
        txid
        for txid, package in foreseeing.packages(txids).items()
        if package.is_sure(above_satvbyte=floor, sat_per_kw=seen.estimate_sat_per_kw)
    }
    if sure:
        _give(order.pk, sure)


def _is_in_time(order: ChannelOrder) -> bool:
    """As long as the quote of the chain's fees holds."""
    return order.state == OrderState.CREATED and timezone.now() <= order.expires_at


def _give(order_id: UUID, sure: Collection[str]) -> None:
    """Money: the buyer's, in effect, until it is deep; what we may lose by it is counted first, and by us alone."""
    with locked(order_id) as order:
        if not _is_in_time(order) or order.is_going or not placing.is_coming(order):
            return
        rows = order.onchain_payments.all()
        there = [row for row in rows if row.state == DepositState.CONFIRMED]
        there += [row for row in rows if row.state == DepositState.SEEN and row.txid in sure]
        served = serving.clean(payers.told(order, there))
        if sum(row.amount_sat for row in served) < order.order_total_sat:
            return
        placing.counting()
        if not _has_room(order):
            return
        now = timezone.now()
        Credit.objects.create(order=order, amount_sat=order.order_total_sat, given_at=now, seen_at=now, looked_at=now)
        order.on_credit = True
        pay(order, Rail.ONCHAIN, cause=Cause.CREDIT_GIVEN, actor=LSP)


def _has_room(order: ChannelOrder) -> bool:
    """Within all bounds, as they are counted now. The caller holds the order's row and the lock of sales."""
    seen = queries.snapshot()
    if seen is None or _beyond(order.order_total_sat, outstanding_sat(), seen) or _node_is_full(order):
        return False
    stock = queries.stock(seen, besides=order.pk)
    promised_sat = stock.coming_sat + _channels_sat(order.pk)
    return rules.may_come(order.capacity_sat, coming_sat=promised_sat, total_sat=stock.total_sat)


def _node_is_full(order: ChannelOrder) -> bool:
    """With this order its node's would be more than one node's may be; nobody knows while none is named."""
    if not order.node_pubkey:
        return False
    others_sat = outstanding_sat(order.node_pubkey, besides=order.pk)
    return others_sat + order.order_total_sat > settings.ZERO_CONF_NODE_MAX_SAT


# Asked each time


def insecurity(order: ChannelOrder) -> str:
    """Why no attempt may begin for the order that was paid so, by our own records; "" when one may.

    A claim is committed before this is asked: of two orders of one node the later always counts the earlier.
    """
    if not money.of(order, At.SEEN, rail=Rail.ONCHAIN).is_covered:
        return "The on-chain payment is not there any more."
    return "Too much of this node's is in no block: it waits for one." if _node_is_full(order) else ""


def security(order: ChannelOrder, node: LndNode) -> Security:
    """Secured while all of it is there; lost once it is gone. Raises: NodeUnavailable."""
    found = standing(order, node)
    is_there = found in {Standing.DEEP, Standing.THERE}
    return Security(secured=is_there, lost=found is Standing.GONE, reason=f"taken in no block, and {found}")


def standing(order: ChannelOrder, node: LndNode) -> Standing:
    """What became of its deposits, as node and chain source have them now. Raises: NodeUnavailable."""
    deposits = deposits_of(order)
    served = {str(row) for row in payers.relied_on(order, deposits)}
    depths = depth.of(order, deposits, node)

    def sat(txids: Collection[str], *, of_all: bool = True) -> int:
        counts = (row for row in deposits if row.txid in txids and (of_all or str(row) in served))
        return sum(row.amount_sat for row in counts)

    required = money.required_confirmations(order)
    deep = {txid for txid, blocks in depths.items() if blocks >= required}
    if sat(deep, of_all=False) >= order.order_total_sat:
        return Standing.DEEP
    unmined = [deposit for deposit in deposits if depths.get(deposit.txid) == 0]
    where = foreseeing.whereabouts(unmined)
    there = {txid for txid, blocks in depths.items() if blocks or where.get(txid) in _RELIED_ON}
    if sat(there) >= order.order_total_sat:
        _seen(order)
        return Standing.THERE if sat(there, of_all=False) >= order.order_total_sat else Standing.AWAY
    possible = {txid for txid in depths if where.get(txid) is not Whereabouts.RIVALLED}
    is_over = sat(possible) < order.order_total_sat or _not_seen_for(order) >= patience()
    return Standing.GONE if is_over else Standing.AWAY


def _seen(order: ChannelOrder) -> None:
    now = timezone.now()
    Credit.objects.filter(order=order.pk).update(seen_at=now, looked_at=now)


def _not_seen_for(order: ChannelOrder) -> timedelta:
    """For how long nobody has known that all of it is there, though somebody has looked.

    Where we stood still for hours the chain source did too, perhaps, and has yet to read its mempool.
    """
    now, credit = timezone.now(), Credit.objects.get(order=order.pk)
    since = now - (credit.looked_at or now)
    if since > _STOOD_STILL:
        credit.seen_at += since
    credit.looked_at = now
    credit.save(update_fields=["seen_at", "looked_at"])
    return now - credit.seen_at


# Over


def follow(order: ChannelOrder, node: LndNode, *, is_delivered: Callable[[], bool]) -> bool:
    """Whether it is over: its deposits are deep, or gone, or nothing is delivered for them. Raises: NodeUnavailable.

    `is_delivered`: the node has its channel, though our records, which were put back, do not know: then it stays.
    """
    found = standing(order, node)
    if found not in {Standing.DEEP, Standing.GONE} and not _is_over(order):
        return False
    if found is Standing.GONE and order.state in UNDELIVERED and order.live_opening is None and is_delivered():
        return False
    with locked(order.pk) as held:
        if not held.on_credit:
            return False
        if found is Standing.DEEP:
            _end(held)
            note(held, Cause.CREDIT_REDEEMED, amount_sat=held.order_total_sat)
        elif _is_over(held):
            _end(held)
            note(held, Cause.CREDIT_ENDED, amount_sat=held.order_total_sat)
        elif held.openings.filter(state__in=[OpeningState.PUBLISHED, OpeningState.CONFIRMED]).exists():
            _lose(held)
        elif held.live_opening is None and held.state in UNDELIVERED:
            _take_back(held)
    return not held.on_credit


def _is_over(order: ChannelOrder) -> bool:
    """Nothing was delivered for it, and nothing will be."""
    return order.state in _OVER or order.is_undone


def _end(order: ChannelOrder, *, is_lost: bool = False) -> None:
    now = timezone.now()
    order.on_credit = False
    order.step += 1
    Credit.objects.filter(order=order.pk).update(ended_at=now, lost_at=now if is_lost else None)


def _lose(order: ChannelOrder) -> None:
    """A loss, with a name: it counts as outstanding until a person has seen it."""
    _end(order, is_lost=True)
    note(order, Cause.PAYMENT_LOST, rail=str(Rail.ONCHAIN), amount_sat=order.order_total_sat)
    words = "The funding is published, and the deposit that was taken in no block is gone: this channel is unpaid."
    raise_flag(order, FlagKind.UNPAID_CHANNEL, words)


def _take_back(order: ChannelOrder) -> None:
    """Nothing was delivered: the order was not paid. What pays it after all is a late payment."""
    _end(order)
    unpay(order, cause=Cause.CREDIT_ENDED, amount_sat=order.order_total_sat)


def to_look_at() -> list[UUID]:
    """The orders that were paid so, and whose deposits are not deep yet."""
    return list(Credit.objects.filter(ended_at=None).values_list("order_id", flat=True))
