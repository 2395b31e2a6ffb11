"""LSPS1's words, whatever carries them: what a request means, and what an order is as bLIP-51 tells it. Pure.

Amounts are strings of satoshis, times are UTC with milliseconds, a term is in blocks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from lightning.types import NodeAddress
from lsps.reading import UINT16, UINT32, Params
from lsps.refusing import PARAMETERS, invalid, mismatch
from orders import blocks
from orders.models.order import Rail
from orders.options import Wanted
from orders.pricing import Quote, vbytes_paid_for
from orders.states import DELIVERED, OrderState
from orders.wire import OrderView, PaymentState, WarningView

#: As long as the order's column.
TOKEN_LENGTH: Final = 200
_CREATE: Final = frozenset(
    {
        "lsp_balance_sat",
        "client_balance_sat",
        "required_channel_confirmations",
        "funding_confirms_within_blocks",
        "channel_expiry_blocks",
        "token",
        "refund_onchain_address",
        "announce_channel",
    }
)
#: Of who asked for nothing: the channel is usable once its funding is in a block.
_USUAL_CHANNEL_CONFIRMATIONS: Final = 1
#: Below it nothing is relayed (sat/kWU); said where a number must stand, and none means anything.
_LEAST_FEERATE: Final = 253


@dataclass(frozen=True, slots=True)
class Options:
    """What get_info tells: as configured, never as the day has it."""

    min_required_channel_confirmations: int
    min_funding_confirms_within_blocks: int
    supports_zero_channel_reserve: bool
    max_channel_expiry_blocks: int
    min_initial_client_balance_sat: int
    max_initial_client_balance_sat: int
    min_initial_lsp_balance_sat: int
    max_initial_lsp_balance_sat: int
    min_channel_balance_sat: int
    max_channel_balance_sat: int


@dataclass(frozen=True, slots=True)
class CreateOrder:
    """What create_order asks for."""

    wanted: Wanted
    required_channel_confirmations: int
    funding_confirms_within_blocks: int
    announce_channel: bool
    #: None: it was sent as null.
    token: str | None
    refund_onchain_address: str
    #: Who it is for, as the parameters say; over Lightning the peer is.
    node: NodeAddress | None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How much besides the specification an answer has, for clients that read other things."""

    #: Names of earlier drafts, which shipped wallets read.
    aliases: bool = True
    #: `min_fee_for_0conf` is a number always: one library reads nothing else.
    always_a_feerate: bool = False


# --- What is asked


def read_get_info(sent: Any) -> None:
    """It takes nothing. Raises: Refusal."""
    Params(sent, ())


def read_create_order(sent: Any, *, network: str) -> CreateOrder:
    """Raises: Refusal that names the parameter."""
    params = Params(sent, _CREATE)
    wanted = Wanted(
        lsp_balance_sat=params.amount("lsp_balance_sat"),
        client_balance_sat=params.amount("client_balance_sat"),
        channel_expiry_blocks=params.number("channel_expiry_blocks", most=UINT32),
    )
    return CreateOrder(
        wanted=wanted,
        required_channel_confirmations=params.number("required_channel_confirmations", most=UINT16),
        funding_confirms_within_blocks=params.number("funding_confirms_within_blocks", most=UINT16),
        announce_channel=params.yes_or_no("announce_channel"),
        token=params.token("token", longest=TOKEN_LENGTH),
        refund_onchain_address=params.address("refund_onchain_address", network=network),
        node=_named_node(params),
    )


def read_get_order(sent: Any) -> UUID:
    """Raises: Refusal."""
    return Params(sent, {"order_id"}).order_id("order_id")


def _named_node(params: Params) -> NodeAddress | None:
    """By `public_key`, which some send with its host behind it, by `node_uri`, or by `public_key` and `host`."""
    named = [node for name in ("public_key", "node_uri") if (node := params.node(name)) is not None]
    if len({node.pubkey for node in named}) > 1:
        raise invalid("node_uri", "must not differ from public_key")
    if not named:
        return None
    node = max(named, key=lambda each: bool(each.host))
    host = params.text("host", longest=255)
    return replace(node, host=_host(node, host)) if host and not node.host else node


def _host(node: NodeAddress, host: str) -> str:
    try:
        return NodeAddress.parse(f"{node.pubkey}@{host}").host
    except ValueError:
        raise invalid(
            "host", "must be a name, an IPv4 address or a bracketed IPv6 address, with or without a port"
        ) from None


def buyers_node(asked: CreateOrder, *, peer: str | None = None) -> NodeAddress:
    """The node that gets the channel: the peer where we talk over Lightning, else the one that is named.

    Raises: Refusal.
    """
    if peer is None:
        if asked.node is None:
            raise invalid("public_key", "is required: it names the node that gets the channel")
        return asked.node
    if asked.node is not None and asked.node.pubkey != peer:
        raise invalid("public_key", "must be that of the node that asks")
    return asked.node or NodeAddress(peer)


def require_offered(asked: CreateOrder, options: Options) -> None:
    """What is asked for is within what get_info tells. Raises: Refusal that names the option."""
    wanted = asked.wanted
    _within("lsp_balance_sat", wanted.lsp_balance_sat, "initial_lsp_balance_sat", options)
    _within("client_balance_sat", wanted.client_balance_sat, "initial_client_balance_sat", options)
    _within("Both sides together", wanted.capacity_sat, "channel_balance_sat", options)
    for name in ("required_channel_confirmations", "funding_confirms_within_blocks"):
        _within(name, getattr(asked, name), name, options)
    if wanted.channel_expiry_blocks < 1:
        raise invalid("channel_expiry_blocks", "must be 1 or more")
    _within("channel_expiry_blocks", wanted.channel_expiry_blocks, "channel_expiry_blocks", options)


def _within(named: str, value: int, option: str, options: Options) -> None:
    least, most = getattr(options, f"min_{option}", None), getattr(options, f"max_{option}", None)
    if least is not None and value < least:
        raise mismatch(f"min_{option}", f"{named} must be at least {least}.")
    if most is not None and value > most:
        raise mismatch(f"max_{option}", f"{named} must be at most {most}.")


# --- What is told


def info(options: Options, *, uris: Iterable[str] = (), website: str = "", dialect: Dialect) -> dict[str, Any]:
    """The answer to get_info."""
    told = {name: str(value) if name.endswith("_sat") else value for name, value in asdict(options).items()}
    if not dialect.aliases:
        return told
    return {
        **told,
        "options": told,
        "uris": list(uris),
        "website": website,
        "version": 2,
        "supported_versions": [2],
    }


def easiest_first(uris: Iterable[str]) -> list[str]:
    """Our node's addresses: IPv4, then names, IPv6, onion. Some wallets take the first, and read IPv4 alone."""
    return sorted(uris, key=_difficulty)


def _difficulty(uri: str) -> int:
    host = uri.partition("@")[2].rpartition(":")[0]
    try:
        return 0 if ipaddress.ip_address(host.strip("[]")).version == 4 else 2
    except ValueError:
        return 3 if host.endswith(".onion") else 1


def order(view: OrderView, dialect: Dialect, *, least_blocks: int) -> dict[str, Any]:
    """The answer to create_order and get_order. `least_blocks`: in which a funding confirms where nobody asked."""
    depth, within = view.required_channel_confirmations, view.funding_confirms_within_blocks
    told = {
        "order_id": view.order_id,
        "lsp_balance_sat": str(view.lsp_balance_sat),
        "client_balance_sat": str(view.client_balance_sat),
        "required_channel_confirmations": _USUAL_CHANNEL_CONFIRMATIONS if depth is None else depth,
        "funding_confirms_within_blocks": least_blocks if within is None else within,
        "channel_expiry_blocks": view.channel_expiry_blocks,
        "token": view.token,
        "created_at": moment(view.created_at),
        "announce_channel": view.announced,
        "order_state": order_state(view),
        "payment": _payment(view, dialect),
        "channel": _channel(view),
        "price": _price(view.quote),
        "warnings": [_warning(each, view.client_balance_sat) for each in view.warnings],
    }
    return {**told, "expires_at": moment(view.expires_at)} if dialect.aliases else told


def moment(at: datetime) -> str:
    """UTC, with three decimals exactly."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _price(price: Quote) -> dict[str, Any]:
    """What `fee_total_sat` is made of, by the names of POST /channel/estimate; a discount counts against the others.

    And what its chain parts assume. A funding that may confirm late has a rate of its own.
    """
    return {
        "base_fee_sat": str(price.base_fee_sat),
        "lease_fee_sat": str(price.lease_fee_sat),
        "opening_fee_sat": str(price.open_fee_sat),
        "closing_fee_sat": str(price.close_fee_sat),
        "rest_to_minimum_sat": str(price.floor_fee_sat),
        "discount_sat": str(price.discount_sat),
        "sat_per_kw": price.sat_per_kw,
        "opening_sat_per_kw": price.open_sat_per_kw or None,
        "opening_vbytes": vbytes_paid_for(price.open_fee_sat, price.open_sat_per_kw),
        "closing_vbytes": vbytes_paid_for(price.close_fee_sat, price.sat_per_kw),
    }


def _warning(found: WarningView, client_balance_sat: int) -> dict[str, Any]:
    """What would keep the buyer's node from taking the channel; bLIP-50 lets an answer say more than bLIP-51 has."""
    return {
        "code": found.code,
        "message": found.message,
        "property": PARAMETERS.get(found.field, found.field),
        "works": _works(found, client_balance_sat),
        "is_sure": found.is_sure,
    }


def _works(found: WarningView, client_balance_sat: int) -> str | int | bool | None:
    """As that parameter is sent: what a channel may have in all leaves so much for our side."""
    value = found.works
    if value is None or not found.field.endswith("_sat"):
        return value
    return str(value - client_balance_sat if found.field == "capacity_sat" else value)


_FAILED: Final = frozenset({OrderState.GIVE_UP, OrderState.EXPIRED, OrderState.REJECTED, OrderState.REFUNDED})


def order_state(view: OrderView) -> str:
    """COMPLETED once the network has the funding; FAILED where there is, or will be, no channel by itself."""
    if view.funded_at is not None:
        return "COMPLETED"
    never_was = view.state in DELIVERED and view.state is not OrderState.OPENING
    return "FAILED" if view.state in _FAILED or never_was else "CREATED"


def _payment(view: OrderView, dialect: Dialect) -> dict[str, Any]:
    payment: dict[str, Any] = {}
    if view.payment_request is not None:
        payment["bolt11"] = {**_bill(view, view.lightning_state), "invoice": view.payment_request}
    if view.deposit_address is not None:
        payment["onchain"] = _onchain(view, dialect)
    return {**payment, **_aliases(view)} if dialect.aliases else payment


def _bill(view: OrderView, state: PaymentState) -> dict[str, Any]:
    return {
        "state": state.value,
        "expires_at": moment(view.expires_at),
        "fee_total_sat": str(view.fee_total_sat),
        "order_total_sat": str(view.order_total_sat),
    }


def _onchain(view: OrderView, dialect: Dialect) -> dict[str, Any]:
    """A deposit counts unconfirmed only above a feerate of its own, and only then is that told."""
    rate = None if view.zero_conf_satvbyte is None else view.zero_conf_satvbyte * 250
    told = {
        **_bill(view, view.onchain_state),
        "address": view.deposit_address,
        "min_onchain_payment_confirmations": view.required_depth if rate is None else 0,
        "min_fee_for_0conf": _LEAST_FEERATE if rate is None and dialect.always_a_feerate else rate,
        "refund_onchain_address": view.refund_address,
    }
    return {**told, "onchain_address": view.deposit_address} if dialect.aliases else told


def _aliases(view: OrderView) -> dict[str, Any]:
    """The payment as an earlier draft had it: one state, of the rail that counts."""
    is_onchain = view.paid_by is Rail.ONCHAIN or view.payment_request is None
    return {
        "state": (view.onchain_state if is_onchain else view.lightning_state).value,
        "fee_total_sat": str(view.fee_total_sat),
        "order_total_sat": str(view.order_total_sat),
        "lightning_invoice": view.payment_request,
        "bolt11_invoice": view.payment_request,
        "onchain_address": view.deposit_address,
    }


def _channel(view: OrderView) -> dict[str, Any] | None:
    """Null until the network has the funding."""
    if view.funding is None or view.funded_at is None:
        return None
    term = blocks.lasting(view.channel_expiry_blocks)
    return {
        "funded_at": moment(view.funded_at),
        "funding_outpoint": f"{view.funding.txid}:{view.funding.vout}",
        "expires_at": moment(max(view.lease_ends_at, view.funded_at + term)),
    }
