"""Who may ask a node, and what it says while it cannot answer."""

from __future__ import annotations

from contextlib import suppress

import pytest

from lightning.credentials import LOCAL, is_supported, required_methods
from lightning.errors import NodeUnavailable, NotFound, OutcomeUnknown
from lightning.node import LndNode
from lightning.proto import lnrpc_pb2 as ln
from tests.contract.conftest import credentials
from tests.regtest.network import Network
from tests.regtest.waiting import until


def refused(lnd, **changed: str) -> str:
    with pytest.raises(NodeUnavailable) as caught:
        LndNode(credentials(lnd, **({"network": ""} | changed))).info()
    return caught.value.reason


def test_the_node_says_who_it_is(network: Network, node):
    info = node.info()
    assert (info.pubkey, info.alias, info.network) == (network.lsp.pubkey, "lsp", "regtest")
    assert info.uris == (network.lsp.p2p_address,)
    assert info.block_height == network.chain.height
    assert info.synced_to_chain
    assert is_supported(info.version)
    assert 23 in info.features or 22 in info.features  # anchors


def test_peers_and_channels_are_told(network: Network, node):
    [buyer] = [peer for peer in node.peers() if peer.pubkey == network.buyer.pubkey]
    assert buyer.features
    [channel] = [each for each in node.channels() if each.peer_pubkey == network.buyer.pubkey]
    assert channel.active
    assert not channel.initiated_by_us


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


def test_nobody_listens_at_a_wrong_port(lsp):
    wrong = LndNode(credentials(lsp, target="127.0.0.1:1", network=""))
    with pytest.raises(NodeUnavailable):
        wrong.info()
    with pytest.raises(OutcomeUnknown):
        wrong.new_address()


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
    node.info()
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
