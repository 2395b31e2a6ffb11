"""Reads, for everybody. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from lightning.types import NodeAddress, Outpoint
from orders import clock
from orders.causes import PauseCause
from orders.clock import due_ids as due_ids
from orders.clock import due_with_peers as due_with_peers
from orders.clock import is_due as is_due
from orders.clock import is_due_at as is_due_at
from orders.clock import next_due_at as next_due_at
from orders.models import (
    ChannelClosing,
    ChannelOpening,
    ChannelOrder,
    Coupon,
    HoldInvoice,
    Node,
    NodeSnapshot,
    OnchainPayment,
    Reservation,
    Service,
    Switch,
    SwitchEvent,
    SwitchName,
    WalletTransaction,
)
from orders.models.order import Door
from orders.postgres.line import line
from orders.reading import order_or_raise as order_or_raise
from orders.reading import orders_with_details as orders_with_details
from orders.states import (
    BEFORE_RETURN,
    LIVE_CLOSINGS,
    LIVE_OPENINGS,
    PEER_OCCUPYING,
    WEAK,
    ClosingState,
    DepositState,
    InvoiceState,
    OpeningState,
    OrderState,
)


def snapshot() -> NodeSnapshot | None:
    """What we last saw of the node, if we ever saw it."""
    return NodeSnapshot.objects.select_related("node").order_by("node").first()


def follows_chain(seen: NodeSnapshot, now: datetime) -> bool:
    """The node knew the whole chain when it was seen, or said so not long before.

    At each block LND says for a moment that it does not, until all its parts have read it: no reason to refuse anybody.
    """
    lately = now - timedelta(seconds=settings.SNAPSHOT_MAX_AGE_SECONDS)
    return seen.synced_to_chain or (seen.synced_at is not None and lately <= seen.synced_at <= now)


def our_node() -> Node | None:
    """The node that we sell from, if we ever saw it."""
    return Node.objects.first()


def may_be_our_node(pubkey: str) -> bool:
    """Our records are of the node with this key, or of none yet."""
    ours = our_node()
    return ours is None or ours.pubkey in {"", pubkey}


def is_our_node(pubkey: str) -> bool:
    """The key is that of the node that we sell from, as we have seen it or as the settings say."""
    configured = {uri.partition("@")[0].lower() for uri in settings.NODE_URIS}
    return pubkey in configured or Node.objects.filter(pubkey=pubkey).exists()


def database_started_at() -> datetime:
    """When the PostgreSQL that answers us was started: another one answers another time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        row = cursor.fetchone()
    assert row is not None
    started: datetime = row[0]
    return started


def paused(name: SwitchName) -> Switch | None:
    """The switch, where staff have put it off; None: this goes on."""
    return Switch.objects.filter(pk=name, on=False).first()


def were_behind_since(at: datetime) -> bool:
    """Our records were found to be behind the node's at that moment or later: they may have lost what was before it."""
    return SwitchEvent.objects.filter(cause=PauseCause.BEHIND, at__gte=at).exists()


def live_closing(order: ChannelOrder) -> ChannelClosing | None:
    """The close of its channel that is wanted and not over (never two: the database forbids it)."""
    return next((row for row in order.closings.all() if row.state in LIVE_CLOSINGS), None)


def closings_that_wait(pubkey: str = "") -> list[UUID]:
    """The orders whose channel (with this node) is to be closed, and the node was not brought to it yet."""
    rows = ChannelClosing.objects.filter(state=ClosingState.WAITING)
    rows = rows.filter(order__node_pubkey=pubkey) if pubkey else rows
    return list(rows.values_list("order_id", flat=True))


def services_on_sale() -> QuerySet[Service]:
    """What is on offer, the default first."""
    return Service.objects.filter(on_sale=True)


def default_service() -> Service | None:
    """What is sold to those who name no service."""
    return services_on_sale().first()


#: An order has its coupon for as long as it may still be sold, and once it was.
COUPON_USED: Final = frozenset(set(OrderState) - {OrderState.EXPIRED, OrderState.REJECTED, OrderState.REFUNDED})


def is_used_up(coupon: Coupon, *, besides: UUID | None = None) -> bool:
    """As many orders, one left out, have the coupon as may."""
    if coupon.most_uses is None:
        return False
    uses = ChannelOrder.objects.filter(coupon=coupon, state__in=COUPON_USED)
    return (uses if besides is None else uses.exclude(pk=besides)).count() >= coupon.most_uses


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is to sell, in satoshis, and who holds it."""

    #: Our coins, less what is kept.
    total_sat: int
    firm_sat: int
    reached_sat: int
    held_sat: int
    #: In no block, with fees that will bring them into one.
    coming_sat: int
    #: Quotes, which promise nothing.
    unpaid: int
    unpaid_of_client: int
    #: Satoshis × seconds that the client has kept waiting in the last hour, unpaid or unclaimed.
    waited_sat_seconds: int
    #: The buyers', and to go back on chain: kept out of the total.
    owed_back_sat: int = 0
    #: So many changes of what is reserved were added up.
    changes: int = 0

    @property
    def promised_sat(self) -> int:
        """What was paid for, held or ours."""
        return self.taken_sat + self.held_sat

    @property
    def taken_sat(self) -> int:
        """What is promised for good: nobody who pays can have it."""
        return self.firm_sat + self.reached_sat + self.coming_sat

    @property
    def available_sat(self) -> int:
        """What can be bought now by who pays, its fee included; never below 0."""
        return max(0, self.total_sat - self.taken_sat)

    @property
    def room_sat(self) -> int:
        """What nobody has to give way for; below 0 where more is promised than there is."""
        return self.total_sat - self.promised_sat


#: A client's orders are looked at so far back.
CLIENT_WINDOW: Final = timedelta(hours=1)

#: An order's coins are gone from the spendable ones as soon as they are leased for its funding: it counts as promised
#: unless its attempt had leased them when the coins were counted.
#: What is owed back: refunds of which nothing is signed (what is signed has leased its coins), and deposits that bought
#: nothing, from when they are among the coins that are sold until their refund is recorded, or was returned by hand.
#: What no attempt has leased is added up (orders.reserved), so that ten thousand orders which wait cost a sale nothing;
#: of what is leased there is little, and which of it counts depends on when the coins were counted.
#: One statement, since each sale asks twice; written out, and prepared: building and planning it took longer than
#: running it.
STOCK: Final = """
SELECT coalesce(sum(value_sat) FILTER (WHERE firmness = 'firm'), 0),
       coalesce(sum(value_sat) FILTER (WHERE firmness = 'reached'), 0),
       coalesce(sum(value_sat) FILTER (WHERE firmness = 'held'), 0),
       coalesce(sum(value_sat) FILTER (WHERE firmness = 'coming'), 0),
       coalesce(sum(orders) FILTER (WHERE firmness = 'quoted'), 0),
       (SELECT count(*)
          FROM orders_reservation c
         WHERE %(client)s <> '' AND c.client_hash = %(client)s AND c.client_hash <> ''
           AND c.firmness = 'quoted' AND c.released_at IS NULL AND c.order_id IS DISTINCT FROM %(besides)s),
       (SELECT coalesce(sum(w.value_sat * extract(
                   epoch FROM coalesce(w.released_at, %(now)s) - greatest(w.since, %(window)s))), 0)
          FROM orders_reservation w
         WHERE %(client)s <> '' AND w.client_hash = %(client)s AND w.client_hash <> ''  -- so the index serves any plan
           AND w.firmness = ANY(%(weak)s)
           AND (w.released_at IS NULL OR w.released_at > %(window)s)
           AND w.order_id IS DISTINCT FROM %(besides)s),
       (SELECT coalesce(sum(amount_sat), 0) FROM orders_refund WHERE state IN ('due', 'kept'))
     + (SELECT coalesce(sum(p.amount_sat), 0)
          FROM orders_onchainpayment p JOIN orders_channelorder o ON o.id = p.order_id
          LEFT JOIN orders_reservation r ON r.order_id = o.id AND r.released_at IS NULL
         WHERE p.state = 'confirmed' AND p.block_height > %(undecided)s AND p.block_height <= %(sold)s
           AND (o.counted_payment <> 'onchain' OR o.state IN ('expired', 'rejected', 'refunded'))
           AND (r.firmness = 'firm' AND o.state = 'created') IS NOT TRUE
           AND NOT (p.block_height <= %(final)s AND (  -- not EXISTS: for that a plan may read all refunds
               SELECT 1 FROM orders_refund f WHERE f.order_id = o.id AND f.state NOT IN ('withdrawn', 'proposed')
                LIMIT 1) IS NOT NULL)),
       count(*) FILTER (WHERE is_change)
FROM (
    SELECT firmness, value_sat, orders, TRUE AS is_change FROM orders_reserved
    UNION ALL
    SELECT firmness, value_sat, 1, FALSE FROM orders_reservation
     WHERE released_at IS NULL AND gives_way_at IS NULL AND leased_at >= %(at)s
       AND order_id IS DISTINCT FROM %(besides)s
    UNION ALL
    SELECT firmness, -value_sat, -1, FALSE FROM orders_reservation
     WHERE released_at IS NULL AND gives_way_at IS NULL AND leased_at IS NULL AND order_id = %(besides)s
) AS counted
"""


def stock(seen: NodeSnapshot, client_hash: str = "", *, besides: UUID | None = None) -> Stock:
    """The stock as our records and what we saw of the node have it, one order left out."""
    with line().prepared() as cursor:
        cursor.execute(STOCK, stock_asked(seen, client_hash, besides))
        return stock_told(cursor.fetchone(), seen)


def stock_asked(seen: NodeSnapshot, client_hash: str, besides: UUID | None = None) -> dict[str, Any]:
    """What `STOCK` is to be given."""
    now = timezone.now()
    return {
        "client": client_hash,
        "besides": besides,
        "at": seen.at,
        "now": now,
        "window": now - CLIENT_WINDOW,
        "weak": [str(firmness) for firmness in WEAK],
        "sold": seen.block_height + 1 - settings.FUNDING_MIN_CONFS,
        "final": seen.block_height + 1 - settings.FINAL_DEPTH_BLOCKS,
        "undecided": seen.block_height - 1 - settings.FINAL_DEPTH_BLOCKS,
    }


def stock_told(row: Sequence[Decimal | int], seen: NodeSnapshot) -> Stock:
    """What `STOCK` has answered."""
    numbers = [int(number) for number in row]
    owed_back_sat = numbers[-2]
    kept_sat = seen.required_reserve_sat + settings.ONCHAIN_RESERVE_SAT + refund_reserve_sat(owed_back_sat)
    return Stock(max(0, seen.spendable_sat - kept_sat), *numbers)


def refund_reserve_sat(owed_back_sat: int) -> int:
    """What is not for sale so that it can go back: what is owed, once; more where staff want more there."""
    return max(settings.REFUND_RESERVE_SAT, owed_back_sat)


#: What our own fundings give back once they are deep: their coins, less the channel and the fee.
_CHANGE: Final = """
SELECT coalesce(sum(greatest(0, t.given - t.fee_sat - a.capacity_sat)), 0)
FROM orders_channelopening a
JOIN (SELECT id, fee_sat, created_at,
             (SELECT sum((coin->>1)::bigint) FROM jsonb_array_elements(inputs) AS coin) AS given
      FROM orders_wallettransaction) AS t ON t.id = a.transaction_id
WHERE a.state = ANY(%(live)s) AND t.created_at < %(at)s
"""


def change_sat(seen: NodeSnapshot) -> int:
    """Change of our own fundings that is not deep yet, and was not among the coins that were counted."""
    with line().prepared() as cursor:
        cursor.execute(_CHANGE, {"live": [str(state) for state in LIVE_OPENINGS], "at": seen.at})
        row = cursor.fetchone()
    return max(0, int(row[0])) if row else 0


def promised_sat(seen: NodeSnapshot) -> int:
    """What paid orders were promised and our coins do not show as gone yet."""
    return stock(seen).promised_sat


def available_sat(seen: NodeSnapshot) -> int:
    """What can be bought now by who pays, its fee included; never below 0."""
    return stock(seen).available_sat


def giving_way() -> list[UUID]:
    """Orders that were told to give way, and have not yet."""
    rows = Reservation.objects.filter(gives_way_at__isnull=False, released_at=None)
    return list(rows.values_list("order_id", flat=True))


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed order that is due: who waits for its peer has to know no more."""

    order_id: UUID
    node: NodeAddress
    client_hash: str
    failed_openings: int
    #: An attempt is live: it is looked at, not begun.
    is_live: bool


#: For each look that may begin an attempt: Django would write it anew each time.
_CLAIMED: Final = """
SELECT id, node_pubkey, node_host, client_hash, failed_openings, is_live
  FROM orders_channelorder o CROSS JOIN LATERAL (
       SELECT EXISTS (SELECT FROM orders_channelopening WHERE order_id = o.id AND state = ANY(%(live)s)) AS is_live
       ) AS attempt
 WHERE id = ANY(%(among)s) AND state = %(claimed)s AND (due_at <= %(now)s OR due_at > %(too_far)s)
   AND (is_live OR ((open_deadline_at <= %(now)s) IS NOT TRUE
                    AND NOT EXISTS (SELECT FROM orders_switch WHERE name = %(switch)s AND NOT "on")))
 ORDER BY due_at
"""


def claimed(among: Collection[UUID], now: datetime) -> list[Claimed]:
    """Those of these orders that are claimed and due, unless staff have stopped the openings or the time is over."""
    with line().prepared() as cursor:
        asked: dict[str, Any] = {
            "live": [str(state) for state in LIVE_OPENINGS],
            "among": list(among),
            "claimed": str(OrderState.URI_SET),
            "now": now,
            "too_far": clock.too_far(now),
            "switch": str(SwitchName.OPENINGS),
        }
        cursor.execute(_CLAIMED, asked)
        rows = cursor.fetchall()
    return [Claimed(order_id, NodeAddress(pubkey, host), *more) for order_id, pubkey, host, *more in rows]


def open_invoices(among: Collection[UUID] | None = None) -> list[tuple[UUID, str]]:
    """(order id, payment hash) of every invoice (of these orders) that nobody has paid, as far as we know."""
    rows = HoldInvoice.objects.filter(state=InvoiceState.OPEN).exclude(payment_request="")
    if among is not None:
        rows = rows.filter(order__in=among)
    return list(rows.values_list("order_id", "payment_hash"))


def unpaid_invoices(*, made_before: datetime | None = None, hashes: Collection[str] = ()) -> list[tuple[UUID, str]]:
    """(order id, payment hash) of every invoice that nobody has paid, of old orders and of these hashes."""
    old = Q(order__created_at__lt=made_before) if made_before is not None else Q()
    rows = HoldInvoice.objects.filter(Q(payment_hash__in=hashes) | old, state=InvoiceState.OPEN)
    rows = rows.exclude(payment_request="")
    return list(rows.values_list("order_id", "payment_hash"))


def held_hashes(*, made_after: datetime, held_after: datetime, held_before: datetime) -> list[str]:
    """The hashes of payments to orders made after that time, which we saw held within the other two."""
    rows = HoldInvoice.objects.filter(held_at__range=(held_after, held_before), order__created_at__gte=made_after)
    return list(rows.exclude(payment_request="").values_list("payment_hash", flat=True))


def deposits_of(order: ChannelOrder) -> list[OnchainPayment]:
    """The order's deposits that are there, mined or not."""
    return list(OnchainPayment.objects.filter(order=order).exclude(state=DepositState.VANISHED))


def openings_under_way(now: datetime, client_hash: str = "") -> tuple[int, int]:
    """Attempts that hold a place and a peer now, and how many of them are this client's (of one that is known).

    One that is stuck for long holds neither; nor does one that carries its payment (`carrying`).
    """
    since = now - timedelta(seconds=settings.FRESH_ATTEMPT_SECONDS)
    under_way = ChannelOpening.objects.filter(state__in=BEFORE_RETURN - {OpeningState.CARRYING}, changed_at__gte=since)
    clients = list(under_way.values_list("order__client_hash", flat=True))
    return len(clients), clients.count(client_hash) if client_hash else 0


def carrying(now: datetime) -> int:
    """Attempts to open just in time that are under way, or carry a payment for as long as payer and buyer like."""
    since = now - timedelta(seconds=settings.FRESH_ATTEMPT_SECONDS)
    rows = ChannelOpening.objects.filter(order__door=Door.LSPS2, state__in=BEFORE_RETURN)
    return rows.filter(Q(state=OpeningState.CARRYING) | Q(changed_at__gte=since)).count()


def leased_by_attempts(door: str = "") -> list[int]:
    """The coins, in satoshis each, that attempts (of this door's orders) hold whose peers may yet let them fail."""
    transactions = WalletTransaction.objects.filter(openings__state__in=BEFORE_RETURN)
    if door:
        transactions = transactions.filter(openings__order__door=door)
    return [amount_sat for row in transactions.distinct() for _, amount_sat, _ in row.inputs]


def peer_is_taken(pubkey: str) -> bool:
    """Another order is opening a channel to this node right now."""
    return ChannelOpening.objects.filter(node_pubkey=pubkey, state__in=PEER_OCCUPYING).exists()


def waiting_for_peer(pubkey: str, *, reason: str | None = None) -> list[UUID]:
    """Claimed orders of this node whose channel is not opened yet; with `reason`, those that wait because of it."""
    orders = ChannelOrder.objects.filter(node_pubkey=pubkey, state=OrderState.URI_SET)
    if reason is not None:
        orders = orders.filter(last_failure_reason=reason)
    return list(orders.values_list("pk", flat=True))


def orders_of_channel(outpoint: Outpoint, states: Collection[OrderState]) -> list[UUID]:
    """The order whose funding made this channel, where it is in one of these states."""
    openings = ChannelOpening.objects.filter(
        transaction__txid=outpoint.txid, output_index=outpoint.index, order__state__in=states
    )
    return list(openings.values_list("order_id", flat=True))
