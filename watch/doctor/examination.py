"""Looks at everything: our records and this machine (quick, no call to the node), then the node (thorough)."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import django.db
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count, Max, Min, Q
from django.utils import timezone
from django_q.models import OrmQ

from chain import connection as chain_source
from chain.errors import ChainError
from lightning import just_in_time, rights
from lightning.credentials import required_methods
from lightning.errors import LightningError, NodeUnavailable, NotFound
from lightning.node import LndNode
from lightning.rights import NEEDS, Feature
from lightning.steady import info_once
from lightning.types import FeeRates, NodeInfo
from orders import queries, reserved
from orders.models import (
    Alert,
    BooksCheck,
    ChannelClosing,
    ChannelOrder,
    Flag,
    Heartbeat,
    Reservation,
    RollUp,
    Service,
    Switch,
)
from orders.models.service import AfterLease
from orders.openings.funding import is_much_carried
from orders.states import CLAIMABLE, LIVE_CLOSINGS, OrderState
from orders.wallet import budget, choosing, shape
from watch.doctor import chain, machine, node, records
from watch.doctor.finding import Finding, harmless

#: It is a method that we need, and the question whether we may use another.
_ASKING: Final = "/lnrpc.Lightning/CheckMacaroonPermissions"
#: Two of one network agree on a block of such a depth.
_DEEP_BLOCKS: Final = 6
#: So often the worker asks whether it is time to compare the books.
_HOUR_SECONDS: Final = 3600
#: Of the orders that are paid: enough to tell.
_LOOKED_AT: Final = 1_000
#: Warnings of these concern real buyers, real money, or the build of LND.
_FOR_REAL_SHOPS: Final = frozenset({"alerts", "public_url", "version", "macaroon", "lsps1"})
#: bLIP-50: whose announcement has it answers by LSPS0.
_LSPS0_BIT: Final = 729
#: What a macaroon of the server should not be able to do.
_NEVER: Final = (
    "/lnrpc.Lightning/SendCoins",
    "/lnrpc.Lightning/BakeMacaroon",
    "/routerrpc.Router/SendPaymentV2",
)


def thorough(lnd: LndNode | None) -> list[Finding]:
    """All checks. None: no node is set."""
    found = quick()
    if lnd is None:
        return [*found, node.not_configured()]
    try:
        said = _node(lnd, _offered())
    except django.db.Error:  # told among the quick ones
        said = _node(lnd, _Offered(0, 0))
    return [*found, *_as_played(said)]


def quick() -> list[Finding]:
    """The checks that ask our database and this machine only."""
    now = timezone.now()
    return _as_played([*_records(now), *_machine()])


def _as_played(found: list[Finding]) -> list[Finding]:
    """On a network that somebody has made to try the server, what only a real shop has to mend is no warning."""
    if settings.LND_NETWORK != "regtest":
        return found
    no_advice = _FOR_REAL_SHOPS - ({"alerts"} if settings.ALERT_URL else set())  # those that fail to arrive are told
    return [harmless(finding, "well on regtest") if finding.name in no_advice else finding for finding in found]


# Records


def _records(now: datetime) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(_database())
        if not (missing := _missing_migrations()):
            found.extend(_rows(now))
        found.append(records.migrations(missing))
    except django.db.Error as error:
        connection.close()
        told = str(error).strip() or type(error).__name__
        return [records.unreachable_database(told.splitlines()[0][:200])]
    return found


def _database() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), now()")
        row = cursor.fetchone()
    assert row is not None
    yield records.database(row[0])
    yield machine.clock(round((timezone.now() - row[1]).total_seconds()))


def _missing_migrations() -> list[str]:
    applied = MigrationRecorder(connection).applied_migrations().keys()
    return [f"{app}.{name}" for app, name in _on_disk() - applied]


@functools.cache
def _on_disk() -> frozenset[tuple[str, str]]:
    """Read once: a running process has the code it was started with."""
    return frozenset(MigrationLoader(None).disk_migrations)


def _rows(now: datetime) -> Iterator[Finding]:
    limit_seconds = settings.HEARTBEAT_STALE_SECONDS
    beats = {beat.name: beat for beat in Heartbeat.objects.all()}
    silent = {name: _seconds(beat.at, now) for name, beat in beats.items()}
    yield records.worker(silent.get("reconcile"), limit_seconds)
    said = beats["streams"].detail if "streams" in beats else ""
    yield records.streams(silent.get("streams"), limit_seconds, said)
    yield records.openings(silent.get("openings"), limit_seconds)
    yield records.forwarding(silent.get("forwarding"), limit_seconds)
    waiting = OrmQ.objects.filter(lock__lte=now).aggregate(oldest=Min("lock"))["oldest"]
    yield records.queue(OrmQ.objects.filter(lock__lte=now).count(), _seconds(waiting, now) if waiting else 0)
    seen = queries.snapshot()
    synced = seen is not None and queries.follows_chain(seen, now)
    yield records.node_seen(_seconds(seen.at, now) if seen else None, synced, limit_seconds)
    yield _admission()
    yield records.reservations(reserved.reservations_astray())
    yield _books(now)
    yield records.figures(list(RollUp.objects.exclude(astray="").order_by("name").values_list("astray", flat=True)))
    yield records.offer(queries.services_on_sale().count())
    off = Switch.objects.filter(on=False).order_by("name")
    yield records.switches([(switch.name, switch.actor, switch.reason) for switch in off])
    yield records.flagged([(flag.order_id, flag.label) for flag in Flag.objects.filter(lowered_at=None)])
    unsent = list(Alert.objects.filter(sent_at=None, cleared_at=None).values_list("since", flat=True))
    yield records.alerts(bool(settings.ALERT_URL), len(unsent), _seconds(min(unsent), now) if unsent else 0)


def _admission() -> Finding:
    live = Reservation.objects.filter(released_at=None)
    counts = live.aggregate(orders=Count("order"), unknown=Count("order", filter=Q(client_hash="")))
    is_onion = (urlsplit(settings.PUBLIC_URL).hostname or "").endswith(".onion")
    return records.admission(counts["unknown"], counts["orders"], is_onion)


def _books(now: datetime) -> Finding:
    last = BooksCheck.objects.first()
    if last is None:
        return records.books(None, True, "", 0)
    limit_seconds = 2 * settings.BOOKS_CHECK_SECONDS + _HOUR_SECONDS
    return records.books(_seconds(last.at, now), last.adds_up, last.words, limit_seconds)


def _seconds(since: datetime, now: datetime) -> int:
    return max(0, int((now - since).total_seconds()))


def _machine() -> Iterator[Finding]:
    folder = next(path for path in (settings.LSP_HOME, *Path(settings.LSP_HOME).parents) if path.exists())
    yield machine.disk(shutil.disk_usage(folder).free, str(settings.LSP_HOME))
    yield machine.debug(settings.DEBUG, settings.PUBLIC_URL)
    yield machine.public_url(settings.PUBLIC_URL)


# The node


@dataclass(frozen=True, slots=True)
class _Offered:
    """The sizes on sale; 0 where nothing is."""

    smallest_sat: int
    largest_sat: int


def _offered() -> _Offered:
    sizes = queries.services_on_sale().aggregate(smallest=Min("min_channel_sat"), largest=Max("max_channel_sat"))
    return _Offered(sizes["smallest"] or 0, sizes["largest"] or 0)


def _node(lnd: LndNode, offered: _Offered) -> list[Finding]:
    try:
        info = info_once(lambda info: info.synced_to_chain, lnd)
    except LightningError as error:
        return [node.unreadable(error)]
    found = list(_said(info, offered))
    try:
        found.append(_macaroon(lnd, info))
        found.append(_onchain(lnd))
        found.append(_over_lightning(lnd, info))
        found.append(_just_in_time(lnd))
        found.append(_waking(lnd))
        found.extend(_money(lnd, offered))
        found.append(_chain_source(lnd, info))
    except LightningError as error:
        found.append(node.broken_off(error))
    return found


def _said(info: NodeInfo, offered: _Offered) -> Iterator[Finding]:
    yield node.node(info.alias, info.pubkey)
    yield node.wallet()
    yield node.version(info.version)
    yield node.network(info.network, settings.LND_NETWORK)
    yield node.chain(info.synced_to_chain, info.block_height)
    yield node.block_time(info.best_header_at - int(timezone.now().timestamp()), info.network)
    yield node.addresses(settings.NODE_URIS or info.uris, info.pubkey)
    yield node.features(info.features, offered.largest_sat)
    yield node.zero_conf(info.features)
    yield node.inbound_slots()


def _money(lnd: LndNode, offered: _Offered) -> Iterator[Finding]:
    coins = lnd.coins(min_confirmations=settings.FUNDING_MIN_CONFS)
    deep = [coin.amount_sat for coin in choosing.native(coins)]
    required_sat = lnd.required_reserve_sat(additional_public_channels=0)
    yield node.coins(deep, required_sat + settings.ONCHAIN_RESERVE_SAT, offered.smallest_sat)
    rates = lnd.fee_rates(conf_target=settings.FUNDING_CONF_TARGET)
    free_sat = max(0, sum(deep) - required_sat - settings.ONCHAIN_RESERVE_SAT)
    yield node.coin_sizes(_can_sell_sat(deep, rates, free_sat), offered.largest_sat, free_sat)
    yield _fee_budgets(deep, rates)
    everything = lnd.coins(min_confirmations=0)
    yield node.nested_coins([coin.amount_sat for coin in everything if coin.is_nested])
    yield node.reserve(choosing.total_sat(everything), required_sat)


def _onchain(lnd: LndNode) -> Finding:
    lacking = rights.lacking(Feature.ONCHAIN, lnd) if settings.ONCHAIN_ENABLED else ""
    seen = queries.snapshot()
    owed_sat = queries.refund_reserve_sat(queries.stock(seen).owed_back_sat) if seen else 0
    deep_sat = choosing.total_sat(choosing.native(lnd.coins(min_confirmations=settings.FINAL_DEPTH_BLOCKS)))
    return node.onchain(settings.ONCHAIN_ENABLED, lacking, owed_sat, deep_sat)


def _over_lightning(lnd: LndNode, info: NodeInfo) -> Finding:
    is_on = settings.LSPS1_OVER_LIGHTNING
    lacking = rights.lacking(Feature.MESSAGES, lnd) if is_on else ""
    return node.over_lightning(is_on, lacking, _LSPS0_BIT in info.features, settings.LSPS1_ANNOUNCED)


def _just_in_time(lnd: LndNode) -> Finding:
    is_on = settings.LSPS2_ENABLED
    if not is_on:
        may_know = not rights.lacking(Feature.JIT, lnd)
        is_asked = may_know and lnd.configuration().get("requireinterceptor") == "true"
        return node.just_in_time(is_on, (), is_asked_for_all=is_asked)
    old = settings.LSPS2_ON_OLD_LND
    lacks = just_in_time.unable(lnd, cltv_blocks=settings.LSPS2_CLTV_BLOCKS, takes_old_lnd=old)
    deep = [coin.amount_sat for coin in choosing.native(lnd.coins(min_confirmations=settings.FUNDING_MIN_CONFS))]
    several = not is_much_carried(carried_sat=max(deep, default=0), all_sat=sum(deep))
    return node.just_in_time(is_on, lacks, is_asked_for_all=True, opens_several=several)


def _waking(lnd: LndNode) -> Finding:
    is_on = settings.LSPS5_ENABLED
    return node.waking(is_on, rights.lacking(Feature.WAKING, lnd) if is_on else "")


def _chain_source(lnd: LndNode, info: NodeInfo) -> Finding:
    """Of the genesis and of a block that both have, since networks of their own may begin alike."""
    source = chain_source.node()
    if source is None:
        return chain.not_set()
    try:
        height = source.height()
        both = max(0, min(height, info.block_height) - _DEEP_BLOCKS)
        heights = dict.fromkeys([0, both])
        same = all(source.block_hash(each) == lnd.block_hash(each) for each in heights)
    except ChainError as error:
        return chain.unreachable(str(error))
    return chain.follows(height, info.block_height) if same else chain.elsewhere()


def _can_sell_sat(deep_sat: list[int], rates: FeeRates, free_sat: int) -> int:
    """The largest channel that these coins pay for, whatever its price."""

    def is_borne(made: shape.Draft) -> bool:
        return made.fee_sat <= settings.MAX_FUNDING_FEE_SAT and made.vbytes <= budget.MOST_VBYTES

    return shape.most_sat(deep_sat, sat_per_kw=_rate(rates), allows=is_borne, up_to_sat=free_sat)


def _fee_budgets(deep_sat: list[int], rates: FeeRates) -> Finding:
    """Those that are paid and not begun: what each of their fundings would cost, were it the next."""
    paid = ChannelOrder.objects.filter(state__in=CLAIMABLE)
    above = sum(_is_above_budget(order, deep_sat, rates) for order in paid[:_LOOKED_AT])
    return node.fee_budgets(paid.count(), above)


def _is_above_budget(order: ChannelOrder, deep_sat: list[int], rates: FeeRates) -> bool:
    made = shape.draft(deep_sat, wanted_sat=order.capacity_sat, sat_per_kw=_rate(rates))
    if made is None:
        return False  # it waits for coins, and staff are told so
    why = budget.objection(order.fee_budget_sat, rates, fee_sat=made.fee_sat, vbytes=made.vbytes)
    return why is not None


def _rate(rates: FeeRates) -> int:
    return max(rates.estimate_sat_per_kw, rates.minimum_sat_per_kw)


def _macaroon(lnd: LndNode, info: NodeInfo) -> Finding:
    if not lnd.allows(_ASKING):
        return node.uncheckable_macaroon(_refused_reads(lnd, info.block_height))
    allowed = {method: _allows(lnd, method) for method in (*required_methods(), *_NEVER)}
    selling = sorted(NEEDS[Feature.SELLING])
    asked_for = NEEDS.keys() - _unused()
    lacked = {feature: [m for m in sorted(NEEDS[feature]) if not allowed[m] and m not in selling] for feature in NEEDS}
    return node.macaroon(
        missing=[method for method in selling if allowed[method] is False],
        unknown=[method for method in selling if allowed[method] is None],
        excess=[method for method in _NEVER if allowed[method]],
        off={feature: methods for feature, methods in lacked.items() if methods and feature in asked_for},
    )


def _unused() -> set[Feature]:
    """What needs rights that nobody misses: no channel is to be closed by us, nothing is promised, staff want none."""
    closes = Service.objects.filter(after_lease=AfterLease.CLOSE).exists()
    wanted = closes or ChannelClosing.objects.filter(state__in=LIVE_CLOSINGS).exists()
    promised = (
        Service.objects.filter(most_routing_base_msat__isnull=False).exists()
        or ChannelOrder.objects.filter(state=OrderState.OPEN, most_routing_base_msat__isnull=False).exists()
    )
    over_lightning = settings.LSPS1_OVER_LIGHTNING
    used = {
        Feature.CLOSING: wanted,
        Feature.CEILINGS: promised,
        Feature.MESSAGES: over_lightning,
        Feature.ANNOUNCING: over_lightning and settings.LSPS1_ANNOUNCED,
        Feature.JIT: settings.LSPS2_ENABLED,
        Feature.WAKING: settings.LSPS5_ENABLED,
    }
    return {feature for feature, is_used in used.items() if not is_used}


def _allows(lnd: LndNode, method: str) -> bool | None:
    """None: the node has no such method."""
    try:
        return lnd.allows(method)
    except NotFound:
        return None


def _refused_reads(lnd: LndNode, height: int) -> list[str]:
    """Where the rights cannot be asked for, what only reads is tried. What changes anything never is."""
    tries: dict[str, Callable[[], object]] = {
        "EstimateFee": lambda: lnd.fee_rates(conf_target=settings.FUNDING_CONF_TARGET),
        "ListPeers": lnd.peers,
        "ListChannels": lnd.channels,
        "PendingChannels": lnd.pending_channels,
        "ClosedChannels": lnd.closed_channels,
        "ListUnspent": lambda: lnd.coins(min_confirmations=1),
        "ListLeases": lnd.leases,
        "RequiredReserve": lambda: lnd.required_reserve_sat(additional_public_channels=0),
        "GetTransactions": lambda: lnd.transactions(from_height=height),
        "GetBlockHash": lambda: lnd.block_hash(height),
    }
    refused = []
    for method, read in tries.items():
        try:
            read()
        except NodeUnavailable as error:
            if error.reason != "PERMISSION_DENIED":
                raise
            refused.append(method)
    return refused
