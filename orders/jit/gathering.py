"""The parts of a payment that names a promised channel are gathered, until there are enough: then an order is made.

What our node is told of a part is a row first. Whatever comes between, a part that went on is never failed, and one
that was failed never goes on: our node asks again whenever it, we, or the payer's node start anew.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Min, Q, QuerySet
from django.utils import timezone

from lightning import parts as at_node
from lightning.parts import Answer, Circuit, Intercepted
from orders import queries
from orders.errors import PaymentTooLarge, PaymentTooSmall
from orders.ids import channel_name
from orders.jit import ordering, room
from orders.jit.promises import FeeParameters
from orders.jit.selling import require_size
from orders.models import ChannelOrder, JitPart, JitPurchase, PartDecision
from orders.opening_fee import shares
from orders.payments.lightning import passing
from orders.states import InvoiceState
from orders.waking import telling

log = logging.getLogger(__name__)

#: So many blocks there must be from now until our node fails a part by itself, and until what goes on runs out: enough
#: to open, and for a wallet, which takes none that ends soon.
_LEAST_BLOCKS: Final = 18
#: Of these it is no use to try again. Spec: bLIP-52, `unknown_next_peer`; everything else is temporary.
_FOR_GOOD: Final = frozenset({"PROMISE_ENDED", "PAYMENT_SIZE", "PARTS_TOO_SMALL", "TOO_MANY_PARTS"})
#: The payment has come to its end, though its channel may be on its way yet: nobody decides about parts of it any more.
_ENDED: Final = frozenset({InvoiceState.SETTLED, InvoiceState.CANCELLED})
#: Parts of one payment that wait for each other, or went on.
_MOST_PARTS: Final = 50


def is_ours(scid: int) -> bool:
    """We have promised a channel that is called so."""
    return JitPurchase.objects.filter(scid=channel_name(scid)).exists()


def went_on() -> set[int]:
    """The channels that were promised, and for which parts have gone on that may be on their way yet."""
    seen = queries.snapshot()
    if seen is None:
        return set()
    live = JitPart.objects.filter(decision=PartDecision.RESUME, incoming_expiry__gt=seen.block_height)
    purchases = JitPurchase.objects.filter(pk__in=live.values("purchase"))
    return {purchase.number for purchase in purchases}


def hear(part: Intercepted) -> Answer | None:
    """What our node is to be told of the part; None: that is not decided yet.

    Money: a stranger's, and held by our node. Repeat: safe, the same is said whenever the same part comes again.
    """
    with transaction.atomic(durable=True):
        purchase = JitPurchase.objects.select_for_update().filter(scid=channel_name(part.scid)).first()
        if purchase is None:
            return at_node.RESUME  # nobody knows its channel, and that is what the payer hears
        known = JitPart.objects.filter(chan_id=str(part.circuit.channel), htlc_id=part.circuit.htlc).first()
        if known is not None:
            return answer_of(known)
        if purchase.opened_at is not None:
            return at_node.RESUME  # it is a payment like any other, over a channel that is there
        return _weigh(purchase, part)


def lose(part: Intercepted) -> None:
    """The channel that the part came by is being closed by force: nobody has decided about it, and nobody will.

    What was passed on stays so: its other half may be taken. Repeat: safe.
    """
    ours = JitPart.objects.filter(chan_id=str(part.circuit.channel), htlc_id=part.circuit.htlc)
    with transaction.atomic(durable=True):
        # Who lets it go on holds this row, and has read what is undecided: what is failed then is written over.
        JitPurchase.objects.select_for_update(of=("self",)).filter(parts__in=ours).first()
        ours.filter(decision="").update(decision=PartDecision.FAIL, decided_at=timezone.now(), reason="CHANNEL_CLOSED")


def answers(circuits: Collection[Circuit]) -> dict[Circuit, Answer]:
    """What was decided of these parts meanwhile, by whichever process."""
    wanted = {(str(each.channel), each.htlc) for each in circuits}
    rows = JitPart.objects.filter(
        chan_id__in={channel for channel, _ in wanted}, htlc_id__in={htlc for _, htlc in wanted}
    ).exclude(decision="")
    found = {row.circuit: answer_of(row) for row in rows if (row.chan_id, row.htlc_id) in wanted}
    return {circuit: answer for circuit, answer in found.items() if answer is not None}


def forgotten(circuits: Collection[Circuit]) -> set[Circuit]:
    """Those of these parts that have no row any more: they went back, and whoever waits has not been told in time. They
    are to be heard of anew, as when our node asks again.
    """
    wanted = {(str(each.channel), each.htlc): each for each in circuits}
    rows = JitPart.objects.filter(chan_id__in={channel for channel, _ in wanted}, htlc_id__in={at for _, at in wanted})
    known = set(rows.values_list("chan_id", "htlc_id"))
    return {circuit for name, circuit in wanted.items() if name not in known}


def answer_of(row: JitPart) -> Answer | None:
    """What our node is told of it, each time; None: nobody has decided."""
    if row.decision == PartDecision.FAIL:
        return at_node.FAIL
    if row.decision == PartDecision.REFUSE:
        return at_node.RESUME
    if row.decision == PartDecision.RESUME:
        return at_node.resume_with(row.passed_on_msat, fee_msat=row.fee_msat)
    return None


def end_waiting(now: datetime | None = None) -> int:
    """Parts that nobody has decided about in time go back: whose others did not come, and those that our node is about
    to fail by itself, whosever payment they are; returns how many. Repeat: safe.
    """
    now = now or timezone.now()
    return _end_what_is_late(now) + _end_what_runs_out(now)


def _end_what_is_late(now: datetime) -> int:
    oldest = now - timedelta(seconds=settings.LSPS2_HOLD_SECONDS)
    late = JitPart.objects.filter(decision="", order=None)
    sets = late.values("purchase", "payment_hash").annotate(first=Min("heard_at")).filter(first__lte=oldest)
    return sum(_end(each["purchase"], each["payment_hash"], now) for each in sets)


def _end_what_runs_out(now: datetime) -> int:
    """Each for itself, also where whoever decides waits: for a channel that is not active, or for the others. What is
    left undecided is let go in doubt before our node fails it, and may then never be failed.
    """
    seen = queries.snapshot()
    if seen is None:
        return 0
    due = passing.running_out(JitPart.objects.filter(decision=""), seen.block_height)
    purchases = due.order_by("purchase").values_list("purchase", flat=True).distinct()
    return sum(_end_of(purchase_id, due, now) for purchase_id in purchases)


def _end_of(purchase_id: int, due: QuerySet[JitPart], now: datetime) -> int:
    with transaction.atomic(durable=True):
        # Who lets parts go on holds this row, and has read what is undecided.
        JitPurchase.objects.select_for_update().get(pk=purchase_id)
        rows = list(due.filter(purchase=purchase_id))
        _turn_back(rows, "TOO_FEW_BLOCKS", now)
        return len(rows)


def _end(purchase_id: int, payment_hash: str, now: datetime) -> int:
    with transaction.atomic(durable=True):
        purchase = JitPurchase.objects.select_for_update().get(pk=purchase_id)
        order = _live_order(purchase)
        if order is not None and order.hold_invoice.payment_hash == payment_hash:
            return 0  # they go, or stay, with the order's
        waiting = _waiting(purchase, payment_hash)
        why = "PROMISE_ENDED" if now > purchase.valid_until else "TOO_LITTLE_IN_TIME"
        _turn_back(waiting, why, now, may_be_named=order is not None)
        return len(waiting)


def _weigh(purchase: JitPurchase, part: Intercepted) -> Answer | None:
    """The part is written down, and decided with those that it belongs to as far as that can be."""
    now = timezone.now()
    order = _live_order(purchase)
    why = _flaw(purchase, part, order, now)
    row = _row(purchase, part, now)
    if not why and order is not None:
        why = _why_not_with(order, part)
    if why:
        return _turn_back([row], why, now, may_be_named=order is not None)
    telling.payment_incoming(purchase.node_pubkey)
    if order is not None:
        return None  # more than was needed: it goes with the others, or after them
    waiting = _waiting(purchase, part.payment_hash)
    total_msat = sum(each.incoming_msat for each in waiting)
    if purchase.payment_size_msat is not None and total_msat < purchase.payment_size_msat:
        _thin_out(purchase, now)
    else:
        _complete(purchase, waiting, now)
    row.refresh_from_db()
    return answer_of(row)


def _why_not_with(order: ChannelOrder, part: Intercepted) -> str:
    """Why the part cannot go on with the payment that has its purchase's channel; "" where it may."""
    if order.hold_invoice.payment_hash != part.payment_hash:
        return "ANOTHER_PAYMENT"
    return "PAYMENT_ENDED" if order.hold_invoice.state in _ENDED else ""


def _thin_out(purchase: JitPurchase, now: datetime) -> None:
    """Where too many wait for their others those of one payment go back."""
    if (least := room.gives_way(purchase)) is not None:
        rows = JitPart.objects.filter(purchase=least.purchase_id, payment_hash=least.payment_hash, order=None)
        _turn_back(rows.filter(decision=""), "TOO_MANY_WAIT", now)


def _row(purchase: JitPurchase, part: Intercepted, now: datetime) -> JitPart:
    return JitPart.objects.create(
        purchase=purchase,
        chan_id=str(part.circuit.channel),
        htlc_id=part.circuit.htlc,
        payment_hash=part.payment_hash,
        incoming_msat=part.incoming_msat,
        incoming_expiry=part.incoming_expiry,
        outgoing_msat=min(part.outgoing_msat, 2**63 - 1),
        outgoing_expiry=min(part.outgoing_expiry, 2**31 - 1),  # the sender's wish, as that amount is
        auto_fail_height=part.auto_fail_height,
        heard_at=now,
    )


def _flaw(purchase: JitPurchase, part: Intercepted, order: ChannelOrder | None, now: datetime) -> str:
    """Why the part buys nothing; "" where it may."""
    seen = queries.snapshot()
    if now > purchase.valid_until:
        return "PROMISE_ENDED"
    if seen is None:
        return "NODE_NOT_SEEN"
    if min(part.auto_fail_height, part.outgoing_expiry) - seen.block_height < _LEAST_BLOCKS:
        return "TOO_FEW_BLOCKS"
    if part.incoming_expiry - part.outgoing_expiry < purchase.cltv_expiry_delta:
        return "TOO_FEW_BLOCKS_FOR_US"
    with_it = Q(decision="") | Q(decision=PartDecision.RESUME, order=order)  # not of earlier orders: they came back
    if JitPart.objects.filter(with_it, purchase=purchase, payment_hash=part.payment_hash).count() >= _MOST_PARTS:
        return "TOO_MANY_PARTS"
    return ""


def _complete(purchase: JitPurchase, waiting: list[JitPart], now: datetime) -> None:
    """There is enough: an order is made for it, or all of it goes back."""
    size_msat = purchase.payment_size_msat or waiting[-1].incoming_msat
    said = _parameters(purchase)
    try:
        require_size(said, size_msat)
    except (PaymentTooSmall, PaymentTooLarge):
        _turn_back(waiting, "PAYMENT_SIZE", now)
        return
    fee_msat = said.fee.of(size_msat)
    if shares([part.incoming_msat for part in waiting], fee_msat) is None:
        _turn_back(waiting, "PARTS_TOO_SMALL", now)
        return
    why = ordering.objection(purchase, size_msat, fee_msat)
    if why:
        _turn_back(waiting, why, now)
        return
    ordering.make(purchase, waiting, size_msat, fee_msat, now)


def _parameters(purchase: JitPurchase) -> FeeParameters:
    return FeeParameters(
        purchase.min_fee_msat,
        purchase.proportional_ppm,
        purchase.valid_until,
        purchase.min_lifetime_blocks,
        purchase.max_client_to_self_delay,
        purchase.min_payment_size_msat,
        purchase.max_payment_size_msat,
    )


def _waiting(purchase: JitPurchase, payment_hash: str) -> list[JitPart]:
    """Those that no order has yet: an order's are counted once."""
    rows = JitPart.objects.filter(purchase=purchase, payment_hash=payment_hash, decision="", order=None)
    return list(rows.order_by("pk"))


def _live_order(purchase: JitPurchase) -> ChannelOrder | None:
    """The order whose channel is being opened for it now, or whose payment has not come to its end: with its channel
    there, or with none any more.
    """
    orders = ChannelOrder.objects.filter(room.LIVE, jit_parts__purchase=purchase)
    return orders.select_related("hold_invoice").first()


def _turn_back(rows: Iterable[JitPart], reason: str, now: datetime, *, may_be_named: bool = False) -> Answer:
    """They go back, for good or for now; returns what our node is told of each.

    `may_be_named`: the number may be a channel's by now, which what is refused by letting it go would go on over.
    """
    decision = PartDecision.REFUSE if reason in _FOR_GOOD and not may_be_named else PartDecision.FAIL
    ids = [row.pk for row in rows]
    JitPart.objects.filter(pk__in=ids, decision="").update(decision=decision, decided_at=now, reason=reason)
    log.info("%d parts of a payment for a promised channel go back: %s", len(ids), reason)
    return at_node.RESUME if decision is PartDecision.REFUSE else at_node.FAIL
