"""The one way to the node: no change inside a transaction, no connection across a fork, no other network."""

from __future__ import annotations

import os
from concurrent import futures
from datetime import timedelta
from threading import Event

import grpc
import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from lightning import connection
from lightning.calls import Calls
from lightning.credentials import LOCAL, Credentials
from lightning.errors import LightningError, NodeUnavailable, OutcomeUnknown, PeerOffline, Rejected
from lightning.negotiation import Negotiation
from lightning.node import LndNode
from lightning.proto import invoicesrpc_pb2 as inv
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto.invoicesrpc_pb2_grpc import InvoicesServicer, add_InvoicesServicer_to_server
from lightning.proto.lnrpc_pb2_grpc import LightningServicer, add_LightningServicer_to_server
from lightning.types import OpenedInvoice
from orders import outage
from orders.advance import advance
from orders.models import ChannelOrder
from tests.factories import NodeFactory, OrderFactory

CHAN_ID = b"\x01" * 32
KEY = "02" + "ab" * 32
INVOICE = {"payment_hash": "ab" * 32, "amount_sat": 1, "memo": "", "expiry_seconds": 60, "cltv_blocks": 144}


class Answering(LightningServicer, InvoicesServicer):
    """A node that says of itself what a test wants, and stalls where it wants."""

    def __init__(self):
        self.target = ""
        self.network = "regtest"
        self.pubkey = KEY
        self.calls: list[str] = []
        self.macaroons: list[str | None] = []
        self.updates: list[ln.OpenStatusUpdate] = []
        self.refusal = ""
        self.slow = False
        self.go_on = Event()

    def GetInfo(self, request, context):
        self.calls.append("GetInfo")
        self.macaroons.append(dict(context.invocation_metadata()).get("macaroon"))
        return ln.GetInfoResponse(
            identity_pubkey=self.pubkey, chains=[ln.Chain(network=self.network)], version="0.21.3-beta"
        )

    def NewAddress(self, request, context):
        self.calls.append("NewAddress")
        return ln.NewAddressResponse(address="bcrt1q")

    def AddHoldInvoice(self, request, context):
        self.calls.append("AddHoldInvoice")
        if self.slow:
            self.go_on.wait(30)
        if self.refusal:
            context.abort(grpc.StatusCode.UNKNOWN, self.refusal)
        return inv.AddHoldInvoiceResp(payment_request="lnbcrt1", add_index=7)

    def OpenChannel(self, request, context):
        self.calls.append("OpenChannel")
        if self.slow:
            self.go_on.wait(30)
        yield from self.updates
        if self.refusal:
            context.abort(grpc.StatusCode.UNKNOWN, self.refusal)
        self.go_on.wait(30)


@pytest.fixture
def server():
    answering = Answering()  # type: ignore[abstract]  # only in the types; gRPC refuses what is not there
    running = grpc.server(futures.ThreadPoolExecutor(4))
    add_LightningServicer_to_server(answering, running)
    add_InvoicesServicer_to_server(answering, running)
    port = running.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    running.start()
    answering.target = f"127.0.0.1:{port}"
    yield answering
    answering.go_on.set()
    running.stop(None).wait()


def node(server, **more) -> LndNode:
    return LndNode(Credentials(server.target, LOCAL, **more))


# The connection


def test_building_a_node_asks_nothing(server):
    node(server, network="mainnet")
    assert server.calls == []


def test_a_node_of_another_network_is_never_asked_for_anything(server):
    server.network = "testnet"
    with pytest.raises(NodeUnavailable) as caught:
        node(server, network="regtest").new_address()
    assert caught.value.reason == "NETWORK_MISMATCH"
    assert server.calls == ["GetInfo"]


def test_the_network_is_asked_once_for_each_connection(server):
    ours = node(server, network="regtest")
    for _ in range(3):
        ours.new_address()
    assert server.calls == ["GetInfo", "NewAddress", "NewAddress", "NewAddress"]


def test_a_network_that_could_not_be_asked_is_asked_again(server):
    server.network = "testnet"
    ours = node(server, network="regtest")
    with pytest.raises(NodeUnavailable):
        ours.new_address()
    server.network = "regtest"
    assert ours.new_address() == "bcrt1q"


def test_a_node_that_is_not_recognised_is_never_asked_for_anything(server):
    with pytest.raises(NodeUnavailable) as caught:
        node(server, recognises=lambda pubkey: pubkey != KEY).new_address()
    assert caught.value.reason == "ANOTHER_NODE"
    assert server.calls == ["GetInfo"]


@pytest.fixture
def configured(server, settings):
    settings.LND_GRPC, settings.LND_TLS_CERT, settings.LND_NETWORK = server.target, LOCAL, "regtest"
    return connection.node


@pytest.mark.django_db
def test_orders_are_not_looked_for_at_another_node(server, configured):
    order = OrderFactory(paid_lightning=True, lsp_node__pubkey="03" + "cd" * 32)
    ChannelOrder.objects.update(claim_expires_at=timezone.now() - timedelta(days=1))
    advance(order.pk)
    order.refresh_from_db()
    assert order.state == "paid"
    assert set(server.calls) == {"GetInfo"}
    assert outage.of_node().is_on


@pytest.mark.django_db
@pytest.mark.parametrize("records", [None, "", KEY])
def test_a_node_is_ours_that_we_know_or_never_knew(server, configured, records):
    if records is not None:
        NodeFactory(pubkey=records)
    assert configured().new_address() == "bcrt1q"


def test_each_call_carries_the_macaroon(server):
    node(server, macaroon="ab" * 40).info()
    assert server.macaroons == ["ab" * 40]


def test_a_connection_is_kept(server):
    calls = Calls(Credentials(server.target, LOCAL))
    assert calls.link() is calls.link()


def test_a_process_makes_its_own_connection(server, monkeypatch):
    calls = Calls(Credentials(server.target, LOCAL))
    parents = calls.link()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert calls.link() is not parents


def test_a_replaced_certificate_makes_a_new_connection(tmp_path):
    certificate = tmp_path / "tls.cert"
    certificate.write_text("one")
    calls = Calls(Credentials("127.0.0.1:1", str(certificate)))
    first = calls.link()
    os.utime(certificate, (1, 1))
    assert calls.link() is not first


def test_a_node_that_is_down_was_only_perhaps_asked():
    ours = LndNode(Credentials("127.0.0.1:1", LOCAL))
    with pytest.raises(NodeUnavailable):
        ours.info()
    with pytest.raises(OutcomeUnknown):
        ours.new_address()


# The guard


@pytest.mark.django_db
def test_a_change_inside_a_transaction_is_refused_and_not_sent(server):
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        node(server).new_address()
    assert "NewAddress" not in server.calls


@pytest.mark.django_db
def test_a_change_that_would_only_be_begun_inside_a_transaction_is_refused_and_not_sent(server):
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        node(server).begin_hold_invoice(**INVOICE)
    assert "AddHoldInvoice" not in server.calls


@pytest.mark.django_db
def test_an_opening_inside_a_transaction_is_refused_and_not_sent(server):
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a database transaction"):
        open_channel(node(server))
    assert "OpenChannel" not in server.calls


@pytest.mark.django_db
def test_a_read_inside_a_transaction_is_allowed(server):
    with transaction.atomic():
        assert node(server).info().network == "regtest"


@pytest.mark.django_db
def test_the_transaction_of_a_test_itself_is_no_transaction(server):
    assert node(server).new_address() == "bcrt1q"


@pytest.mark.django_db(transaction=True)
def test_after_a_transaction_a_change_is_allowed(server):
    with transaction.atomic():
        pass
    assert node(server).new_address() == "bcrt1q"


# Calls that are begun


def test_while_the_node_does_what_was_begun_it_is_asked_for_more(server):
    ours, server.slow = node(server), True
    invoice = ours.begin_hold_invoice(**INVOICE)
    assert ours.new_address() == "bcrt1q"
    server.go_on.set()
    assert invoice() == OpenedInvoice("lnbcrt1", 7)
    assert sorted(server.calls) == ["AddHoldInvoice", "NewAddress"]


def test_who_has_begun_hears_of_what_went_wrong_when_it_waits(server):
    ours, server.refusal = node(server), "invoice with payment hash already exists"
    begun = ours.begin_hold_invoice(**INVOICE)
    with pytest.raises(Rejected) as caught:
        begun()
    assert caught.value.reason == "already_exists"


def test_what_was_begun_at_a_node_that_is_down_may_have_happened():
    ours = LndNode(Credentials("127.0.0.1:1", LOCAL))
    with pytest.raises(OutcomeUnknown):
        ours.begin_hold_invoice(**INVOICE)()


def test_what_was_only_to_be_read_did_not_happen():
    ours = LndNode(Credentials("127.0.0.1:1", LOCAL))
    with pytest.raises(NodeUnavailable):
        ours.begin_channels_with("02" + "ab" * 32)()


def test_what_was_begun_and_ends_without_a_word_proves_nothing(server):
    with pytest.raises(OutcomeUnknown, match="without a word"):
        node(server)._calls.begun(lambda request, **how: iter(()), ln.NewAddressRequest())()


# The settings' node


@pytest.mark.django_db
def test_the_settings_name_the_node_and_each_process_builds_it_once(server, monkeypatch):
    named = {"LND_GRPC": server.target, "LND_TLS_CERT": LOCAL, "LND_MACAROON": "", "LND_NETWORK": "regtest"}
    with override_settings(LIGHTNING_NODE="lightning.node.LndNode", **named):
        ours = connection.node()
        assert ours.info().network == "regtest"
        assert connection.node() is ours
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert connection.node() is not ours


class Wrapper(LndNode):
    """What a test puts in the node's place."""


def test_another_class_can_take_the_nodes_place(server):
    with override_settings(LIGHTNING_NODE=f"{__name__}.Wrapper", LND_GRPC=server.target):
        assert type(connection.node()) is Wrapper


# The negotiation


def open_channel(ours: LndNode) -> Negotiation:
    return ours.open_channel(
        pubkey=KEY, pending_chan_id=CHAN_ID, capacity_sat=100_000, push_sat=0, private=True, memo="order"
    )


FUND = ln.OpenStatusUpdate(psbt_fund=ln.ReadyForPsbtFunding(funding_address="bcrt1q", funding_amount=100_000))
PENDING = ln.OpenStatusUpdate(chan_pending=ln.PendingUpdate(txid=bytes(31) + b"\x01", output_index=1))


def test_a_negotiation_tells_its_two_steps(server):
    server.updates = [FUND, PENDING]
    with open_channel(node(server)) as negotiation:
        assert negotiation.funding_request(timeout_seconds=10).amount_sat == 100_000
        assert str(negotiation.pending_outpoint(timeout_seconds=10)) == "01" + "00" * 31 + ":1"


def test_a_silent_peer_leaves_the_outcome_unknown(server):
    with open_channel(node(server)) as negotiation, pytest.raises(OutcomeUnknown):
        negotiation.funding_request(timeout_seconds=0.01)


def test_an_update_that_came_after_a_wait_is_there_for_the_next(server):
    server.updates, server.slow = [FUND], True
    with open_channel(node(server)) as negotiation:
        with pytest.raises(OutcomeUnknown):
            negotiation.funding_request(timeout_seconds=0.01)
        server.go_on.set()
        assert negotiation.funding_request(timeout_seconds=10).amount_sat == 100_000


@pytest.mark.parametrize("times", [1, 2])
def test_before_the_psbt_is_verified_a_refusal_is_a_refusal_each_time_we_ask(server, times):
    server.refusal = f"peer {KEY} is not online"
    with open_channel(node(server)) as negotiation:
        for _ in range(times):
            with pytest.raises(PeerOffline):
                negotiation.funding_request(timeout_seconds=10)


def test_after_the_psbt_was_verified_a_refusal_proves_nothing(server):
    server.updates, server.refusal = [FUND], f"peer {KEY} disconnected"
    with open_channel(node(server)) as negotiation:
        negotiation.funding_request(timeout_seconds=10)
        with pytest.raises(OutcomeUnknown) as caught:
            negotiation.pending_outpoint(timeout_seconds=10)
    assert caught.value.reason == "PEER_NOT_REACHABLE"


def test_a_stream_that_just_ends_proves_nothing(server):
    server.go_on.set()
    with open_channel(node(server)) as negotiation, pytest.raises(OutcomeUnknown):
        negotiation.funding_request(timeout_seconds=10)


def test_our_errors_are_six():
    assert len(LightningError.__subclasses__()) == 6
