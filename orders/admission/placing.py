"""A paid order gets its place among what is promised, at whose cost the rules say.

Everything here is done by who holds the order's row and then the lock of sales (`counting`), or no row and that lock
(`end_hopeless_quotes`): so what is counted stays true until it is promised. Rows of others are taken where nobody is
moving them just now: no two of us wait crosswise.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from orders import locks, queries, standing
from orders.admission import rules
from orders.admission.rules import Claim
from orders.locks import Lock
from orders.models import ChannelOrder, OnchainPayment, Reservation
from orders.nudges import FOUND, nudge_all
from orders.postgres.rows import Call
from orders.states import DepositState, Firmness


def counting() -> None:
    """What is promised is counted by us alone until the transaction ends. After the order's row, before any other."""
    locks.hold(Lock.SALES)


def quoting(client_hash: str) -> tuple[Call, ...]:
    """Once these are called, what is promised stays as it is until the transaction ends, and nobody else quotes to this
    client.

    A quote promises no coins, so who buys waits for nobody else who does: nor does who has paid wait for all of them,
    in processes that step back. Where the address means nothing no limit is the client's.
    """
    return locks.together(Lock.SALES, alone=locks.client(client_hash or uuid4().hex))


def place(order: ChannelOrder) -> bool:
    """The held payment's order is promised its coins; False: nobody gives way to it, and it goes on waiting."""
    ours, now = _of(order), timezone.now()
    if ours is None or ours.firmness != Firmness.WAITING:
        return True
    if ours.is_going:
        return False
    until = now + timedelta(seconds=_patience_seconds(ours, now))
    has_room = _make_room(ours, now, only_over=True, has_time=until > now, asked_sat=ours.value_sat)
    return has_room and _write(ours, Firmness.HELD, until)


def reach(order: ChannelOrder) -> bool:
    """The order's node was reached: its coins are promised for good; False: others have them as firmly.

    What quotes are hopeless since is for `end_hopeless_quotes`, when nobody waits for it.
    """
    ours, now = _of(order), timezone.now()
    if ours is None or ours.is_going:
        return ours is None
    if ours.firmness not in {Firmness.WAITING, Firmness.HELD}:
        return True
    return _make_room(ours, now, only_over=False) and _write(
        ours, Firmness.REACHED, order.open_deadline_at or ours.until
    )


def is_coming(order: ChannelOrder) -> bool:
    """Coins are kept for the order's deposits in no block."""
    return Reservation.objects.filter(order=order.pk, firmness=Firmness.COMING, released_at=None).exists()


def come(order: ChannelOrder) -> None:
    """What was paid on chain is in no block, and its fee will bring it into one: its coins are kept for it meanwhile.

    Not where nobody gives way to it, or others like it have as much as they may: then it is a quote until its block.
    """
    ours, now = _of(order), timezone.now()
    if ours is None or ours.is_going or ours.firmness == Firmness.COMING:
        return
    has_place = _may_come(ours, now) and _make_room(ours, now, only_over=True)
    _write(ours, Firmness.COMING if has_place else Firmness.QUOTED, ours.until)


def _may_come(ours: Reservation, now: datetime) -> bool:
    """One deposit in no block of a client at a time, and none after one that came to nothing."""
    stock = standing.read(besides=ours.order_id).stock
    if stock is not None and not rules.may_come(ours.value_sat, coming_sat=stock.coming_sat, total_sat=stock.total_sat):
        return False
    before = OnchainPayment.objects.filter(
        order__client_hash=ours.client_hash, foreseen_at__gt=now - queries.CLIENT_WINDOW
    ).exclude(state=DepositState.CONFIRMED)
    return not (ours.client_hash and before.exclude(order=ours.order_id).exists())


def confirm(order: ChannelOrder) -> None:
    """What was paid on chain is in a block: its coins are firm, though it was told to go as a quote.

    Where nobody can give way it waits for coins.
    """
    ours, now = _of(order), timezone.now()
    if ours is None or ours.firmness == Firmness.FIRM:
        return
    _make_room(ours, now, only_over=False)
    _write(ours, Firmness.FIRM, ours.until, gives_way_at=None)
    end_hopeless_quotes()


def unconfirm(order: ChannelOrder) -> None:
    """The unpaid order's deposits are neither in a block nor sure to be: a quote again."""
    kept = Reservation.objects.filter(order=order.pk, firmness__in=[Firmness.FIRM, Firmness.COMING])
    kept.update(firmness=Firmness.QUOTED)


def may_begin(order: ChannelOrder) -> bool:
    """An attempt of the order may begin: it has its place, and was not told to go. That cannot change meanwhile.

    The caller holds the order's row, and records the attempt in the same transaction.
    """
    ours = Reservation.objects.filter(order=order.pk).select_for_update().first()
    return ours is None or not (ours.is_going or ours.is_waiting)


def may_grow(order: ChannelOrder, more_sat: int) -> bool:
    """Our coins suffice for so much more than the order is promised, and nobody has to give way for it."""
    ours = _of(order)
    room_sat = None if ours is None else _room_sat(ours)
    return ours is not None and room_sat is not None and ours.value_sat + more_sat <= room_sat


def tell_to_go(order: ChannelOrder) -> None:
    """The order's own payment goes back."""
    Reservation.objects.filter(order=order.pk, gives_way_at=None).update(gives_way_at=timezone.now())


def end_surplus_quotes(unpaid: int, besides: UUID) -> None:
    """Of so many unpaid orders, one's own among them, no more are left than there may be.

    Chosen by one at a time: of those that another is choosing among just now each sees only the newest. Who is not the
    one leaves it to the next who buys.
    """
    too_many = unpaid - settings.MOST_UNPAID_ORDERS
    if too_many > 0 and locks.try_to_hold(Lock.SURPLUS):
        now = timezone.now()
        quotes = [_claim(row) for row in _quotes().exclude(order=besides)]
        patience = settings.CLAIM_PATIENCE_SECONDS
        _tell_to_go(rules.quotes_that_go(quotes, too_many, now, patience_seconds=patience), now)


def _make_room(
    ours: Reservation, now: datetime, *, only_over: bool, has_time: bool = True, asked_sat: int | None = None
) -> bool:
    """There is room for what is asked, by others that were told to go where need be; else nobody was.

    What is held has its room already.
    """
    room_sat = None if ours.firmness == Firmness.HELD else _room_sat(ours)
    if room_sat is None or ours.value_sat <= room_sat:
        return True
    if not has_time:  # who had his time already takes nobody's
        return False
    going = rules.who_goes(_held(ours), ours.value_sat - room_sat, now, only_over=only_over, asked_sat=asked_sat)
    if room_sat + sum(claim.value_sat for claim in going) < ours.value_sat:
        return False
    _tell_to_go(going, now)
    return True


def _room_sat(ours: Reservation) -> int | None:
    """What there is room for besides ours; None: the node was never seen."""
    stands = standing.read(besides=ours.order_id)
    if stands.seen is None or stands.stock is None:
        return None
    return stands.stock.room_sat + queries.change_sat(stands.seen)


def _held(ours: Reservation) -> list[Claim]:
    rows = _live().filter(firmness=Firmness.HELD).exclude(order=ours.order_id)
    return [_claim(row) for row in rows.select_for_update(skip_locked=True)]


def end_hopeless_quotes() -> None:
    """Quotes that nobody could be served any more end: their invoices must not be paid.

    In the transaction of who holds an order's row, or in one of its own. Repeat: safe.
    """
    with transaction.atomic(savepoint=False):
        counting()
        stands = standing.read()
        if stands.seen is not None and stands.stock is not None:
            left_sat = stands.stock.available_sat + queries.change_sat(stands.seen)
            _tell_to_go([_claim(row) for row in _quotes().filter(value_sat__gt=left_sat)], timezone.now())


def _quotes() -> QuerySet[Reservation]:
    """Those for which nothing is on its way on chain."""
    deposits = OnchainPayment.objects.filter(order=OuterRef("order")).exclude(state=DepositState.VANISHED)
    rows = _live().filter(~Exists(deposits), firmness=Firmness.QUOTED)
    return rows.select_for_update(skip_locked=True)


def _live() -> QuerySet[Reservation]:
    return Reservation.objects.filter(released_at=None, gives_way_at=None)


def _tell_to_go(claims: Iterable[Claim], now: datetime) -> None:
    """They count for nothing from now on; each one's own look does what follows."""
    ids = [claim.order_id for claim in claims]
    if ids:
        Reservation.objects.filter(order__in=ids).update(gives_way_at=now)
        transaction.on_commit(partial(nudge_all, ids, FOUND))


def _patience_seconds(ours: Reservation, now: datetime) -> int:
    """How long it is safe from its equals: one payment of a client at a time, none after one that was for nothing."""
    patience: int = settings.CLAIM_PATIENCE_SECONDS
    others = Reservation.objects.filter(client_hash=ours.client_hash).exclude(order=ours.order_id)
    if ours.client_hash and (
        others.filter(firmness=Firmness.HELD, released_at=None, until__gt=now).exists()
        or others.filter(
            firmness__in=[Firmness.HELD, Firmness.WAITING], released_at__gt=now - queries.CLIENT_WINDOW
        ).exists()
    ):
        return 0
    return patience


def _of(order: ChannelOrder) -> Reservation | None:
    return Reservation.objects.filter(order=order.pk, released_at=None).first()


def _write(ours: Reservation, firmness: Firmness, until: datetime, **more: Any) -> bool:
    return bool(Reservation.objects.filter(order=ours.order_id).update(firmness=firmness, until=until, **more))


def _claim(row: Reservation) -> Claim:
    return Claim(row.order_id, row.client_hash, row.node_pubkey, row.value_sat, row.since, row.until)
