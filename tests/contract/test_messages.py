"""Messages that are not Lightning's own, and what the node tells the network of itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lightning.errors import PeerOffline, Rejected
from lightning.node import LndNode
from lightning.streams import LndStreams
from lightning.types import CustomMessage, NodeAddress
from tests.contract.conftest import credentials
from tests.contract.test_streams import Listening, with_streams
from tests.recovering import signer
from tests.regtest.waiting import until

TYPE = 37_913
STRANGER = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
#: A host of the documentation's own: nobody is there.
ADDRESS = "[2001:db8::1]:9735"


def send(node: LndNode, pubkey: str, data: bytes, kind: int = TYPE) -> None:
    node.begin_sending(pubkey, type=kind, data=data, timeout_seconds=5).result(10)


@pytest.fixture
def connected(node, peer) -> Any:
    node.connect(NodeAddress.parse(peer.p2p_address), timeout_seconds=10)
    return peer


@pytest.fixture
def own(add_node) -> Any:
    """A node that may tell what it likes, and start anew."""
    return add_node()


def test_what_a_peer_sends_is_heard_with_its_key_and_type(connected, lsp) -> None:
    async def scenario(streams: LndStreams) -> None:
        listening = Listening(streams.custom_messages())
        await asyncio.sleep(0.5)  # it does not say when it has begun
        for kind in (TYPE, 32_769):
            await asyncio.to_thread(connected.say, lsp, b"{} \xff\x00", type=kind)
            await listening.until(CustomMessage(connected.pubkey, kind, b"{} \xff\x00").__eq__)
        await listening.stop()

    with_streams(lsp, scenario)


def test_what_we_send_the_peer_hears_whole_up_to_the_largest(node, connected) -> None:
    with connected.hearing() as heard:
        for data in (b"{}", b"x" * 65_533):
            send(node, connected.pubkey, data)
            until(lambda data=data: (TYPE, data) in list(heard), "the peer has heard it")


def test_who_is_not_connected_is_sent_nothing(node) -> None:
    with pytest.raises(PeerOffline):
        send(node, STRANGER, b"{}")


def test_a_feature_and_an_address_are_announced_until_the_node_starts_anew(own) -> None:
    node = LndNode(credentials(own))
    assert 729 not in node.info().features
    node.announce(feature_bit=729, addresses=[ADDRESS])
    info = node.info()
    assert 729 in info.features
    assert f"{info.pubkey}@{ADDRESS}" in info.uris
    own.kill()
    own.start()
    info = LndNode(credentials(own)).info()
    assert 729 not in info.features
    assert f"{info.pubkey}@{ADDRESS}" not in info.uris


def test_what_is_announced_already_or_leads_nowhere_is_refused_and_known(own) -> None:
    node = LndNode(credentials(own))
    node.announce(feature_bit=729)
    with pytest.raises(Rejected) as caught:
        node.announce(feature_bit=729)
    assert caught.value.reason == "announced"
    with pytest.raises(Rejected) as caught:
        node.announce(addresses=["no-such-host.invalid:9735"])
    assert caught.value.reason == "no_address"


def test_l5_17_who_has_a_signature_of_the_node_recovers_its_key(node) -> None:
    message = b"LSPS5: DO NOT SIGN THIS MESSAGE MANUALLY: LSP: At 2026-01-01T00:00:00.000Z I notify {}"
    signature = node.sign(message)
    ours = node.info().pubkey
    assert signer(message, signature) == ours
    assert signer(message + b" ", signature) != ours
