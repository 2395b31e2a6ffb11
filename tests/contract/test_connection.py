"""Who may ask a node, and what it says while it cannot answer."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest

from lightning.credentials import LOCAL, required_methods
from lightning.errors import LightningError, NodeUnavailable, NotFound, OutcomeUnknown
from lightning.interception import Interception
from lightning.negotiation import Negotiation
from lightning.node import LndNode
from lightning.proto import lnrpc_pb2 as ln
from lightning.types import NodeAddress, Outpoint, RoutingFee
from lightning.versions import is_supported
from tests.contract.account import methods
from tests.contract.conftest import credentials
from tests.regtest.network import Network
from tests.regtest.waiting import until

KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
POINT = Outpoint("ab" * 32, 0)
LOCK_ID = b"\x05" * 32
#: Every method of a node, with something to call it with.
EVERY_METHOD: dict[str, dict[str, Any]] = {
    "info": {},
    "require_active": {},
    "fee_rates": {"conf_target": 6},
    "allows": {"method": "/lnrpc.Lightning/GetInfo"},
    "peers": {},
    "known_hosts": {"pubkey": KEY},
    "connect": {"address": NodeAddress(KEY, "127.0.0.1:1"), "timeout_seconds": 1},
    "begin_dialling": {"address": NodeAddress(KEY, "127.0.0.1:1"), "timeout_seconds": 1},
    "disconnect": {"pubkey": KEY},
    "begin_sending": {"pubkey": KEY, "type": 37_913, "data": b"{}", "timeout_seconds": 5},
    "announce": {"feature_bit": 729},
    "block_hash": {"height": 1},
    "add_hold_invoice": {
        "payment_hash": "ab" * 32, "amount_sat": 1, "memo": "", "expiry_seconds": 60, "cltv_blocks": 144,
    },
    "begin_hold_invoice": {
        "payment_hash": "ab" * 32, "amount_sat": 1, "memo": "", "expiry_seconds": 60, "cltv_blocks": 144,
    },
    "invoice": {"payment_hash": "ab" * 32},
    "pending_invoices": {"after_add_index": 0},
    "newest_add_index": {},
    "settle_invoice": {"preimage": b"\x01" * 32},
    "cancel_invoice": {"payment_hash": "ab" * 32},
    "channels": {},
    "pending_channels": {},
    "channels_with": {"pubkey": KEY, "seconds": 20.0},
    "begin_channels_with": {"pubkey": KEY},
    "closed_channels": {},
    "intercept": {},
    "add_alias": {"channel": 1, "alias": 16_050_000 << 40},
    "remove_alias": {"channel": 1, "alias": 16_050_000 << 40},
    "aliases": {},
    "configuration": {},
    "forwards": {"from_second": 0, "skip": 0, "most": 1},
    "close_channel": {"outpoint": POINT, "force": False, "conf_target": 6},
    "routing_fees": {},
    "cltv_blocks": {"outpoint": POINT, "pubkey": KEY},
    "set_routing_fee": {"fee": RoutingFee(POINT, 0, 0), "cltv_blocks": 80},
    "open_channel": {
        "pubkey": KEY, "pending_chan_id": LOCK_ID, "capacity_sat": 50_000, "push_sat": 0, "private": True, "memo": "",
    },
    "verify_psbt": {"pending_chan_id": LOCK_ID, "psbt": b""},
    "cancel_shim": {"pending_chan_id": LOCK_ID},
    "abandon_channel": {"outpoint": POINT},
    "new_address": {},
    "required_reserve_sat": {"additional_public_channels": 0},
    "coins": {"min_confirmations": 1},
    "foreign_coins": {"coins": ()},
    "transaction": {"txid": "ab" * 32},
    "transactions": {"from_height": 0},
    "fund_psbt": {
        "address": "bcrt1q", "amount_sat": 1000, "sat_per_kw": 1000, "min_confirmations": 1, "lock_id": LOCK_ID,
        "lease_seconds": 60,
    },
    "finalize_psbt": {"psbt": b""},
    "publish": {"raw": b"", "label": ""},
    "leases": {},
    "lease": {"outpoint": POINT, "lock_id": LOCK_ID, "seconds": 60},
    "release": {"outpoint": POINT, "lock_id": LOCK_ID},
    "bump_fee": {"outpoint": POINT, "conf_target": 1, "budget_sat": 1000},
    "sign": {"message": b"what is signed"},
}  # fmt: skip
#: Those that begin with a read (is the peer there already?) end with it.
CHANGES = frozenset(
    {
        "add_hold_invoice", "begin_hold_invoice", "settle_invoice", "cancel_invoice", "open_channel", "verify_psbt",
        "cancel_shim", "abandon_channel", "new_address", "fund_psbt", "finalize_psbt", "publish", "lease", "release",
        "bump_fee", "close_channel", "set_routing_fee", "begin_sending", "announce", "add_alias",
    }
)  # fmt: skip


def how_it_ends(node: LndNode, name: str) -> tuple[str, str]:
    with pytest.raises(LightningError) as caught:
        result = getattr(node, name)(**EVERY_METHOD[name])
        if isinstance(result, Future):
            result.result(20)
        if callable(result):
            result()
        if isinstance(result, Interception):
            next(iter(result))
        if isinstance(result, Negotiation):
            with result:
                result.funding_request(timeout_seconds=20)
    return type(caught.value).__name__, caught.value.reason


def test_every_method_is_in_the_list():
    assert {f"LndNode.{name}" for name in EVERY_METHOD} == {each for each in methods() if each.startswith("LndNode")}


def refused(lnd, **changed: str) -> str:
    with pytest.raises(NodeUnavailable) as caught:
        LndNode(credentials(lnd, **({"network": ""} | changed))).info()
    return caught.value.reason


def test_the_node_says_who_it_is(network: Network, node):
    info = node.info()
    assert (info.pubkey, info.alias, info.network) == (network.lsp.pubkey, "lsp", "regtest")
    assert info.uris == (network.lsp.p2p_address,)
    assert info.block_height == network.chain.height
    assert info.synced_to_chain and info.wallet_synced
    assert is_supported(info.version)
    assert 23 in info.features or 22 in info.features  # anchors


def test_a_node_that_answers_says_so_to_anybody(lsp, node):
    node.require_active()
    LndNode(credentials(lsp, macaroon="", network="")).require_active()


def test_peers_and_channels_are_told(network: Network, node):
    [buyer] = [peer for peer in node.peers() if peer.pubkey == network.buyer.pubkey]
    assert buyer.features
    [channel] = [each for each in node.channels() if each.peer_pubkey == network.buyer.pubkey]
    assert channel.active
    assert not channel.initiated_by_us
    assert 0 <= channel.online_seconds <= channel.watched_seconds


def test_the_channels_with_one_peer_are_told_alone(network: Network, node):
    peer = network.buyer.pubkey
    assert {each.outpoint for each in node.channels_with(peer, seconds=5)} == {
        each.outpoint for each in node.channels() if each.peer_pubkey == peer
    }
    assert node.begin_channels_with(peer)() == node.channels_with(peer)
    assert node.channels_with("02" + "ab" * 32, seconds=5) == ()


def test_where_a_node_has_announced_itself_is_told_and_of_a_stranger_nothing(network: Network, node):
    ours = network.lsp.p2p_address.partition("@")[2]
    assert node.known_hosts(network.lsp.pubkey) == (ours,)
    assert node.known_hosts(KEY) == ()


def test_without_a_macaroon_nothing_is_answered(lsp):
    assert refused(lsp, macaroon="") == "PERMISSION_DENIED"


def test_what_is_no_macaroon_opens_nothing(lsp):
    assert refused(lsp, macaroon="ab" * 40) == "PERMISSION_DENIED"


def test_another_nodes_macaroon_opens_nothing(lsp, other_node):
    assert refused(lsp, macaroon=str(other_node.admin_macaroon)) == "PERMISSION_DENIED"


def test_a_macaroon_of_too_few_rights_changes_nothing(lsp):
    readonly = str(lsp.admin_macaroon).replace("admin.", "readonly.")
    node = LndNode(credentials(lsp, macaroon=readonly))
    node.info()
    with pytest.raises(NodeUnavailable) as caught:
        node.new_address()
    assert caught.value.reason == "PERMISSION_DENIED"


def test_the_permissions_we_ask_for_are_enough_and_not_too_much(lsp):
    baked = LndNode(credentials(lsp, macaroon=lsp.bake_macaroon(required_methods())))

    def is_allowed(method: str) -> bool:
        try:
            return baked.allows(method)
        except NotFound:
            return False

    assert [method for method in required_methods() if not is_allowed(method)] == []
    for method in ("SendCoins", "BakeMacaroon", "OpenChannelSync", "SendMany"):
        assert not is_allowed(f"/lnrpc.Lightning/{method}")
    baked.info()
    baked.new_address()


def test_a_method_that_no_node_has_is_not_found(node):
    with pytest.raises(NotFound):
        node.allows("/lnrpc.Lightning/NoSuchMethod")


def test_where_nobody_listens_no_read_is_answered_and_every_change_may_have_happened(lsp):
    """A refused connection may be the second try of a request that was already sent."""
    wrong = LndNode(credentials(lsp, target="127.0.0.1:1", network=""))
    ends = {name: how_it_ends(wrong, name) for name in EVERY_METHOD}
    assert ends == {name: ("OutcomeUnknown" if name in CHANGES else "NodeUnavailable", "") for name in EVERY_METHOD}


def test_no_method_is_answered_without_a_macaroon(lsp):
    stranger = LndNode(credentials(lsp, macaroon="", network=""))
    # Without one nothing is asked of the node, and nothing proves what it would allow. That it answers anybody is told.
    asking = sorted(set(EVERY_METHOD) - {"allows", "require_active"})
    ends = {name: how_it_ends(stranger, name) for name in asking}
    refused_before = dict.fromkeys(asking, ("NodeUnavailable", "PERMISSION_DENIED"))
    assert ends == refused_before | {"verify_psbt": ("OutcomeUnknown", "PERMISSION_DENIED")}


@pytest.mark.parametrize("certificate", ["", LOCAL])
def test_a_node_is_not_trusted_without_its_certificate(lsp, certificate):
    assert refused(lsp, tls_cert=certificate) == ""


def test_another_nodes_certificate_is_not_trusted(lsp, other_node):
    assert refused(lsp, tls_cert=str(other_node.tls_certificate)) == ""


def test_a_node_of_another_network_is_refused(lsp):
    assert refused(lsp, network="mainnet") == "NETWORK_MISMATCH"


def test_while_it_starts_a_node_only_says_that_it_is_not_there_yet(add_node):
    lnd = add_node()
    node = LndNode(credentials(lnd, network=""))
    with pytest.raises(NotFound):
        node.invoice("ab" * 32)  # in other words than a node that has some
    lnd.terminate()
    lnd.start(wait=False)
    reasons = set()

    def answers() -> bool:
        try:
            node.new_address()
        except OutcomeUnknown:  # nobody listens yet: gRPC does not say whether the call left
            reasons.add("")
        except NodeUnavailable as error:
            reasons.add(error.reason)
        else:
            return True
        return False

    until(answers, "the node answers again")
    lnd.wait_ready()
    assert reasons <= {"", "NODE_NOT_READY"}


def test_a_node_that_stalls_leaves_a_change_unknown_and_a_read_undone(add_node):
    lnd = add_node()
    node = LndNode(credentials(lnd))
    node.info()
    lnd.pause()
    with pytest.raises(NodeUnavailable):
        node._read(node._lightning.GetInfo, ln.GetInfoRequest(), seconds=1)
    with pytest.raises(OutcomeUnknown):
        node._change(node._lightning.NewAddress, ln.NewAddressRequest(), seconds=1)
    lnd.resume()

    def answers() -> bool:
        with suppress(NodeUnavailable):
            return node.info().pubkey == lnd.pubkey
        return False

    until(answers, "the node answers again")
