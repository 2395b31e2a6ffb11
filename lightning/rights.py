"""What our macaroon has to allow, feature by feature, and whether it does.

A feature whose rights are not all given is off, and everything else goes on: so an upgrade stops nobody from selling.
"""

from __future__ import annotations

import time
from enum import StrEnum
from threading import Lock
from typing import Final
from weakref import WeakKeyDictionary

from lightning.errors import NotFound
from lightning.node import LndNode


class Feature(StrEnum):
    """What a macaroon is for."""

    SELLING = "selling"  # quotes, held payments, openings: without these nothing is sold
    ONCHAIN = "on-chain payments"
    SHAPING = "coins of other sizes"
    CLOSING = "closing channels"
    CEILINGS = "routing-fee ceilings"
    ROUTING = "routing fees"
    MESSAGES = "LSPS1 over Lightning"
    ANNOUNCING = "announcing LSPS1"
    GRAPH = "addresses of buyers' nodes"
    JIT = "channels for a payment under way"
    WAKING = "waking wallets that are away"


def _methods(service: str, *names: str) -> frozenset[str]:
    return frozenset(f"/{service}/{name}" for name in names)


_SPENDING: Final = _methods(
    "walletrpc.WalletKit",
    "EstimateFee", "FinalizePsbt", "GetTransaction", "LeaseOutput", "ListLeases", "ListUnspent", "PublishTransaction",
    "ReleaseOutput",
)  # fmt: skip
#: A macaroon that may not ask does not tell what it may do.
_ASKING: Final = _methods("lnrpc.Lightning", "CheckMacaroonPermissions")
#: Of a channel that is no more: what was sold before this was asked for may be paid for yet.
_TAKING_BACK: Final = _methods("routerrpc.Router", "XDeleteLocalChanAliases")
#: With the right to ask: a macaroon that has it not does not tell what it may do, and takes no money to be sent back.
_WALLET: Final = _SPENDING | _ASKING | _methods("lnrpc.Lightning", "GetTransactions", "NewAddress")

#: Each call that we make is in one row at least; one in several is needed by each of them.
NEEDS: Final[dict[Feature, frozenset[str]]] = {
    Feature.SELLING: _WALLET
    | _methods("chainrpc.ChainKit", "GetBlockHash")
    | _methods("chainrpc.ChainNotifier", "RegisterBlockEpochNtfn")
    | _methods(
        "invoicesrpc.Invoices",
        "AddHoldInvoice", "CancelInvoice", "LookupInvoiceV2", "SettleInvoice", "SubscribeSingleInvoice",
    )
    | _methods(
        "lnrpc.Lightning",
        "AbandonChannel", "ClosedChannels", "ConnectPeer", "DisconnectPeer", "FundingStateStep", "GetInfo",
        "ListChannels", "ListInvoices", "ListPeers", "OpenChannel", "PendingChannels", "SubscribeChannelEvents",
        "SubscribePeerEvents",
    )
    | _methods("walletrpc.WalletKit", "BumpFee", "FundPsbt", "RequiredReserve"),
    Feature.ONCHAIN: _WALLET | _methods("lnrpc.Lightning", "SubscribeTransactions"),
    Feature.SHAPING: _WALLET,
    Feature.CLOSING: _ASKING | _methods("lnrpc.Lightning", "CloseChannel"),
    Feature.CEILINGS: _ASKING | _methods("lnrpc.Lightning", "FeeReport", "GetChanInfo", "UpdateChannelPolicy"),
    Feature.ROUTING: _methods("lnrpc.Lightning", "CheckMacaroonPermissions", "ForwardingHistory"),
    Feature.MESSAGES: _ASKING | _methods("lnrpc.Lightning", "SendCustomMessage", "SubscribeCustomMessages"),
    Feature.ANNOUNCING: _ASKING | _methods("peersrpc.Peers", "UpdateNodeAnnouncement"),
    Feature.JIT: _ASKING
    | _methods("lnrpc.Lightning", "ForwardingHistory", "GetDebugInfo", "ListAliases")
    | _methods("routerrpc.Router", "HtlcInterceptor", "XAddLocalChanAliases")
    | _TAKING_BACK,
    Feature.WAKING: _ASKING | _methods("lnrpc.Lightning", "SignMessage"),
    Feature.GRAPH: _ASKING | _methods("lnrpc.Lightning", "GetNodeInfo"),
}  # fmt: skip


def to_bake(*, just_in_time: bool = False, waking: bool = False) -> tuple[str, ...]:
    """Every RPC that is called, as the `uri` permissions of a macaroon that allows nothing else.

    What only channels just in time need is left out where none are sold: who has it can stop all forwarding. And where
    no wallets are woken what signs in the node's name, whatever it is asked to sign.
    """
    is_used = {Feature.JIT: just_in_time, Feature.WAKING: waking}
    needs = [methods for feature, methods in NEEDS.items() if is_used.get(feature, True)]
    return tuple(sorted(frozenset().union(*needs)))


_HOLDS_SECONDS: Final = 60.0
_known: WeakKeyDictionary[LndNode, dict[Feature, tuple[float, str]]] = WeakKeyDictionary()
_asking = Lock()


def lacking(feature: Feature, node: LndNode) -> str:
    """A method that the feature needs and our macaroon does not allow; "" where it may all.

    What was found holds for a minute: another macaroon may have taken its place. Raises: NodeUnavailable.
    """
    now = time.monotonic()
    with _asking:
        at, found = _known.get(node, {}).get(feature, (0.0, ""))
    if at and now - at < _HOLDS_SECONDS:
        return found
    found = next((method for method in sorted(NEEDS[feature]) if not _is_given(method, node)), "")
    with _asking:
        _known.setdefault(node, {})[feature] = (now, found)
    return found


def may_pass_on(node: LndNode) -> bool:
    """Whether our macaroon lets us decide about payments for what was sold, and pass them on: that no number can be
    taken back keeps none of them from its channel. Raises: NodeUnavailable.
    """
    return all(_is_given(method, node) for method in sorted(NEEDS[Feature.JIT] - _TAKING_BACK))


def _is_given(method: str, node: LndNode) -> bool:
    """Also not where the node has no such method."""
    try:
        return node.allows(method)
    except NotFound:
        return False
