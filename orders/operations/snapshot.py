"""What we remember of the node is fresh."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from lightning.errors import LightningError
from lightning.node import LndNode
from lightning.types import Channel, takes_zero_conf
from orders import alive, locks, queries
from orders.errors import NotAvailable
from orders.locks import Lock
from orders.models import ChannelOrder, Node, NodeSnapshot
from orders.states import PROMISING
from orders.wallet import choosing, inventory

log = logging.getLogger(__name__)


#: Who is about to be refused has the node looked at again, but all together not more often than that.
_LOOK_AGAIN: Final = timedelta(seconds=2)
#: Of so many coins a transaction is too dear, or too big, at nearly every fee: the smaller ones sell nothing.
_MOST_COINS: Final = 500
#: For so long nothing is sold once we have said that we are behind; said again for as long as we are.
_BEHIND: Final = timedelta(seconds=3)
#: How long one waits for another's look.
_WAIT_SECONDS: Final = 0.1
_MOST_WAITS: Final = 30


def fresh_snapshot(node: LndNode) -> NodeSnapshot:
    """The node as seen not long ago, looked at again where that is too old: by one for all who ask meanwhile.

    Raises: NotAvailable (the node cannot be reached).
    """
    seen = _seen_within(_most_age(), node)
    if seen is None:
        raise NotAvailable("Our node cannot be reached now; please try again later.")
    return seen


def look_again(node: LndNode, seen: NodeSnapshot) -> NodeSnapshot:
    """The node as it is now, before somebody is refused for what it was: staff may just have topped up.

    However many are refused, it is looked at every other second at most: the others answer from that.
    Raises: NotAvailable (the node cannot be reached).
    """
    return _seen_within(_LOOK_AGAIN, node) or seen


def _seen_within(age: timedelta, node: LndNode) -> NodeSnapshot | None:
    """What anybody of us has seen since, us included; None: somebody looks for long."""
    for _ in range(_MOST_WAITS):
        if (seen := _younger_than(age)) is not None:
            return seen
        with locks.only_one(Lock.SNAPSHOT) as obtained:
            if obtained:
                return _younger_than(age) or refresh_snapshot(node)
        time.sleep(_WAIT_SECONDS)
    return None


def _younger_than(age: timedelta) -> NodeSnapshot | None:
    seen = queries.snapshot()
    return seen if seen is not None and _is_younger(seen, age) else None


def is_fresh(seen: NodeSnapshot) -> bool:
    """The node was seen not long ago, and not by a clock that was wrong: it need not be looked at again."""
    return _is_younger(seen, _most_age())


def fresh_height(order: ChannelOrder) -> int | None:
    """The height that was told with the last block; None: that is long ago, so the node is to be asked.

    Before the funding may be published it is asked in any case.
    """
    seen: NodeSnapshot | None = getattr(order.lsp_node, "snapshot", None)
    return seen.block_height if seen is not None and is_fresh(seen) else None


def _is_younger(seen: NodeSnapshot, age: timedelta) -> bool:
    now = timezone.now()
    return now - age <= seen.at <= now


def _most_age() -> timedelta:
    return timedelta(seconds=settings.SNAPSHOT_MAX_AGE_SECONDS)


def say_behind() -> None:
    """More comes in than we keep up with: for the next moment nothing is sold. Repeat: safe."""
    now = timezone.now()
    stale = Q(behind_until=None) | Q(behind_until__lt=now + _BEHIND / 2) | Q(behind_until__gt=now + _BEHIND)
    NodeSnapshot.objects.filter(stale).update(behind_until=now + _BEHIND)


def is_behind(seen: NodeSnapshot, now: datetime) -> bool:
    """Said a moment ago, and not by a clock that was wrong."""
    return seen.behind_until is not None and now < seen.behind_until <= now + _BEHIND


def refresh_snapshot(node: LndNode) -> NodeSnapshot:
    """The node's facts, coins and fees are stored as they are now.

    Repeat: safe. Raises: NotAvailable (the node cannot be reached).
    """
    at = timezone.now()  # before the look: what is leased meanwhile must count as promised
    begun = time.monotonic()
    try:
        pubkey, facts = _look(node)
    except LightningError as error:
        raise NotAvailable("Our node cannot be reached now; please try again later.") from error
    facts["look_seconds"] = round(time.monotonic() - begun, 3)
    ours = _ours(pubkey, at)
    alive.lives(alive.NODE, at)
    seen = NodeSnapshot.objects.filter(node=ours).first()
    if seen is not None and at < seen.at <= timezone.now():
        return seen  # somebody saw it later than we did (and not in a future that a wrong clock made)
    if seen is None:
        facts |= _balances(())  # until all channels are listed next
    kept = _what_passes(facts, at, seen)
    row, _ = NodeSnapshot.objects.update_or_create(node=ours, defaults={"at": at, **facts, **kept})
    return row


def remember_balances(seen: NodeSnapshot, channels: Iterable[Channel]) -> None:
    """It is stored what the node's channels hold, of all that are open: listed seldom, as they may be many."""
    NodeSnapshot.objects.filter(pk=seen.pk).update(**_balances(channels))


def _balances(channels: Iterable[Channel]) -> dict[str, object]:
    shown = [channel for channel in channels if channel.active and not channel.private]
    return {
        "local_balance_sat": sum(channel.local_balance_sat for channel in shown),
        "remote_balance_sat": sum(channel.remote_balance_sat for channel in shown),
    }


def remember_coins_aside(node: LndNode) -> None:
    """It is stored what lies in the wallet besides what funds channels, for staff to see.

    Repeat: safe. Raises: NodeUnavailable.
    """
    aside = {str(why): list(found) for why, found in inventory.take(node).aside.items()}
    NodeSnapshot.objects.update(coins_aside=aside)


def _what_passes(facts: dict[str, object], at: datetime, before: NodeSnapshot | None) -> dict[str, object]:
    """What the node takes back for a moment stays as it was: synced at each block, its addresses while it starts."""
    return {
        "synced_at": at if facts["synced_to_chain"] else before and before.synced_at,
        "uris": facts["uris"] or (before.uris if before else []),
    }


def _ours(pubkey: str, now: datetime) -> Node:
    """The row of the node that has this key.

    Raises: NotAvailable where our records are of another one: its orders must not be looked for at this.
    """
    ours = queries.our_node()
    if ours is None:
        return Node.objects.get_or_create(pubkey=pubkey, defaults={"first_seen_at": now})[0]
    if not ours.pubkey:  # orders of a node that was never seen since they have a node of their own
        Node.objects.filter(pk=ours.pk).update(pubkey=pubkey)
        ours.pubkey = pubkey
    if ours.pubkey != pubkey:
        log.error("the node has the key %s, and our records are of the node %s", pubkey, ours.pubkey)
        raise NotAvailable("Our node cannot be reached now; please try again later.")
    return ours


def _look(node: LndNode) -> tuple[str, dict[str, object]]:
    info = node.info()
    fees = node.fee_rates(conf_target=settings.FUNDING_CONF_TARGET)
    coins = choosing.native(node.coins(min_confirmations=settings.FUNDING_MIN_CONFS))
    # LND keeps 10,000 sat for each announced channel, 100,000 at most: count those that are promised too.
    coming = min(10, 1 + ChannelOrder.objects.filter(state__in=PROMISING).order_by()[:10].count())
    return info.pubkey, {
        "alias": info.alias[:64],
        "uris": list(info.uris),
        "version": info.version[:100],
        "network": info.network,
        "block_height": info.block_height,
        "synced_to_chain": info.synced_to_chain,
        "takes_zero_conf": takes_zero_conf(info.features),
        "active_channels": info.active_channels,
        "spendable_sat": choosing.total_sat(coins),
        "coin_sizes": sorted((coin.amount_sat for coin in coins), reverse=True)[:_MOST_COINS],
        "required_reserve_sat": node.required_reserve_sat(additional_public_channels=coming),
        "estimate_sat_per_kw": max(fees.estimate_sat_per_kw, fees.minimum_sat_per_kw),
        "minimum_sat_per_kw": fees.minimum_sat_per_kw,
    }
