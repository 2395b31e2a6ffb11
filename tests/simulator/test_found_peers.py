"""Nodes that refuse, or that cannot be reached: whole purchases, each test by the number of what was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from lightning.errors import OutcomeUnknown, PeerOffline
from lightning.node import LndNode
from lightning.proto import lnrpc_pb2 as ln
from lightning.types import NodeAddress
from orders import queries, reconcile
from orders.advance import advance
from orders.models import ChannelOrder, Service
from orders.openings import committing
from simulator import control as faults
from tests.contract.conftest import Opening, credentials
from tests.e2e.shop import Shop
from tests.regtest.payment import SUCCEEDED

Quote = dict[str, Any]


@pytest.fixture(autouse=True)
def deep_again(network: Any) -> Iterator[None]:
    """The change of one test's fundings is there for the next one's."""
    yield
    network.mine(6)


def attempts(shop: Shop, quote: Quote) -> list[tuple[bool, str]]:
    """(public, why it failed) of each."""
    rows = shop.order(quote).openings.order_by("attempt")
    return [(row.announced, row.failure_reason) for row in rows]


def go_on(shop: Shop, quote: Quote) -> ChannelOrder:
    """The pause is over, and the engines turn."""
    shop.hurry(quote)
    shop.turn()
    return shop.order(quote)


# D2


@pytest.fixture
def public(shop: Shop) -> None:
    """A shop from before unannounced channels were the default."""
    Service.objects.update(announced_by_default=True)


@pytest.mark.usefixtures("public")
def test_found_d2_a_wallet_that_takes_no_public_channel_gets_a_private_one(shop: Shop, add_peer: Any) -> None:
    wallet = add_peer()
    wallet.change(refuses_announced=True)
    quote = shop.buy(node_uri=wallet.p2p_address)
    payment = shop.pay(quote)
    assert shop.seen(quote)["private_channel"] is False
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote, wallet)
    assert attempts(shop, quote) == [(True, "CHANNEL_REJECTED"), (False, "")]
    assert shop.channel_at(wallet, quote).private is True
    assert shop.seen(quote)["private_channel"] is True
    assert "announcement_refused" in shop.journal(quote)


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize("at_purchase", [True, False])
def test_found_d2_who_asked_for_a_public_channel_gets_no_private_one(
    shop: Shop, add_peer: Any, at_purchase: bool
) -> None:
    wallet = add_peer()
    wallet.change(refuses_announced=True)
    quote = shop.buy(**({"private": False} if at_purchase else {}))
    shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote, wallet, **({} if at_purchase else {"private": False}))
    for _ in range(3):
        order = go_on(shop, quote)
    assert (order.state, order.last_failure_reason) == ("uri_set", "CHANNEL_REJECTED")
    assert set(attempts(shop, quote)) == {(True, "CHANNEL_REJECTED")}
    wallet.change(refuses_announced=False)  # its owner has given it a name
    go_on(shop, quote)
    assert attempts(shop, quote)[-1][0] is True
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote, wallet)


def test_found_d2_a_new_shop_asks_wallets_for_nothing_that_they_refuse(shop: Shop, add_peer: Any) -> None:
    Service.objects.all().delete()
    Service.objects.create()
    wallet = add_peer()
    wallet.change(refuses_announced=True)
    quote = shop.buy(node_uri=wallet.p2p_address)
    shop.pay(quote)
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote, wallet)
    assert attempts(shop, quote) == [(False, "")]


# D4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("feerate_per_kw 253 below minimum 2500", "FEE_RATE_REJECTED"),
        ("Refusing more than 4 unfunded channels.", "PEER_TOO_MANY_PENDING_CHANNELS"),
        ("funding failed due to internal error", "FAILED_OPENING"),
        ("Channel request rejected", "CHANNEL_REJECTED"),
        ("", "CHANNEL_REJECTED"),
        ("come back tomorrow", "CHANNEL_REJECTED"),
    ],
)
def test_found_d4_what_may_pass_is_tried_until_it_has_passed(
    shop: Shop, add_peer: Any, words: str, reason: str
) -> None:
    wallet = add_peer()
    quote = shop.buy(node_uri=wallet.p2p_address)
    payment = shop.pay(quote)
    with wallet.refusing_channels(words or " "):
        for _ in range(3):
            order = go_on(shop, quote)
    assert (order.state, order.last_failure_reason, order.needs_staff) == ("uri_set", reason, False)
    assert order.failed_openings == len(attempts(shop, quote)) >= 2
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote, wallet)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("chan size of 0.005 BTC is below min chan size of 0.5 BTC", "CHAN_SIZE_TOO_SMALL"),
        ("Already have active channel", "PEER_REJECT_MULTI_CHAN"),
        ("we only accept channels from our friends", "PEER_POLICY"),
    ],
)
def test_found_d4_what_says_that_it_is_final_gives_up_at_once(
    shop: Shop, add_peer: Any, words: str, reason: str
) -> None:
    wallet = add_peer()
    quote = shop.buy(node_uri=wallet.p2p_address)
    shop.pay(quote)
    with wallet.refusing_channels(words):
        shop.run(quote, "give_up")
    order = shop.order(quote)
    assert (order.give_up_reason, order.failed_openings, len(attempts(shop, quote))) == (reason, 1, 1)


def test_found_d4_what_a_peer_says_is_kept_short_and_does_nothing_to_who_reads_it(shop: Shop, add_peer: Any) -> None:
    wallet = add_peer()
    quote = shop.buy(node_uri=wallet.p2p_address)
    shop.pay(quote)
    with wallet.refusing_channels("\x1b[2J\r\n<script>alert(1)</script> \u202eeno on\x00 " + "feerate " * 500):
        shop.turn()
    order = shop.order(quote)
    kept = [row.failure_detail for row in order.openings.all()]
    kept += [str(event.facts.get("detail", "")) for event in order.events.all()]
    assert any("alert(1)" in text for text in kept)
    for text in kept:
        assert len(text) <= 300 and text.isprintable() and not set("<>`") & set(text)


# C5


def test_found_c5_an_order_that_was_claimed_for_our_own_node_waits_longer_each_time_until_it_is_corrected(
    shop: Shop, settings: Any, add_peer: Any
) -> None:
    """From before that was refused."""
    settings.RETRY_FIRST_SECONDS, settings.RETRY_MAX_SECONDS = 5, 600
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    own = shop.network.lsp
    answer = shop.client.post(
        "/channel/manual_finalise",
        {"order_id": quote["order_id"], "node_uri": own.p2p_address.upper()},
        content_type="application/json",
    )
    assert (answer.status_code, answer.json()["field"]) == (400, "node_uri")
    wallet = add_peer()
    wallet.kill()
    shop.claim(quote, wallet)
    ChannelOrder.objects.filter(pk=quote["order_id"]).update(node_pubkey=own.pubkey, node_host="127.0.0.1:9800")
    for failures in range(1, 4):
        order = go_on(shop, quote)
        assert (order.state, order.last_failure_reason) == ("uri_set", "PEER_NOT_REACHABLE")
        assert order.failed_openings == failures
    assert attempts(shop, quote) == []
    wallet.start()
    shop.claim(quote, wallet)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote, wallet)


def test_found_c5_a_node_that_cannot_be_asked_is_waited_for_and_told(shop: Shop, add_peer: Any) -> None:
    wallet, network = add_peer(), shop.network
    quote = shop.buy()
    shop.pay(quote)
    shop.run(quote, "paid")
    network.lsp.control.add_fault("ListUnspent", faults.FAIL, text="wallet locked, unlock it", times=0)  # type: ignore[attr-defined]
    shop.claim(quote, wallet)
    for failures in range(1, 3):
        shop.hurry(quote)
        advance(shop.order(quote).pk)
        order = shop.order(quote)
        assert (order.last_failure_reason, order.failed_openings) == ("NODE_NOT_READY", failures)
    network.lsp.control.end_faults()  # type: ignore[attr-defined]
    reconcile.new_block(shop.node)  # what the node says first when it is back
    assert shop.order(quote).pk in queries.due_ids(timezone.now())
    shop.run(quote, "open", mine=True)
    shop.assert_delivered(quote, wallet)


# B5


class Told:
    """What the node was asked to dial."""

    def __init__(self, node: LndNode, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: list[str] = []
        change = node._change

        def listened(call: Any, request: Any, **options: Any) -> Any:
            if isinstance(request, ln.ConnectPeerRequest):
                self.hosts.append(request.addr.host)
            return change(call, request, **options)

        monkeypatch.setattr(node, "_change", listened)


@pytest.fixture
def node(network: Any) -> LndNode:
    return LndNode(credentials(network.lsp))


def test_found_b5_nothing_near_is_dialled_whoever_asks(
    node: LndNode, add_peer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every host of a simulated customer is loopback: dialled where the settings allow it, and else not."""
    wallet, told = add_peer(), Told(node, monkeypatch)
    address = NodeAddress.parse(wallet.p2p_address)
    settings.DIAL_PRIVATE_ADDRESSES = False
    with pytest.raises(PeerOffline) as caught:
        node.connect(address, timeout_seconds=5)
    assert caught.value.reason == "PEER_NOT_REACHABLE" and "internet" in str(caught.value)
    assert told.hosts == []
    settings.DIAL_PRIVATE_ADDRESSES = True
    node.connect(address, timeout_seconds=5)
    assert told.hosts == [wallet.p2p_host]


def test_found_b5_a_peer_that_is_there_already_needs_no_address(
    node: LndNode, add_peer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = add_peer()
    Opening(node, wallet).connected()
    settings.DIAL_PRIVATE_ADDRESSES = False
    told = Told(node, monkeypatch)
    node.connect(NodeAddress(wallet.pubkey, "localhost:1"), timeout_seconds=5)
    assert told.hosts == []


def test_found_b5_the_node_is_given_the_address_that_was_looked_at(
    node: LndNode, add_peer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name whose second answer is our own machine."""
    answers = [["8.8.8.8"], ["127.0.0.1"]]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (text, 0)) for text in answers.pop(0)])
    settings.DIAL_PRIVATE_ADDRESSES = False
    told = Told(node, monkeypatch)
    for _ in range(2):
        with pytest.raises(PeerOffline):
            node.connect(NodeAddress(add_peer().pubkey, "rebinding.example:10009"), timeout_seconds=1)
    assert told.hosts == ["8.8.8.8:10009"]


def test_found_b5_a_claimed_order_whose_name_leads_home_waits_and_dials_nothing(
    shop: Shop, add_peer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("169.254.169.254", 0))])
    settings.DIAL_PRIVATE_ADDRESSES = False
    wallet, told = add_peer(), Told(shop.node, monkeypatch)
    quote = shop.buy(node_uri=f"{wallet.pubkey}@metadata.example:80")
    shop.pay(quote)
    for _ in range(2):
        order = go_on(shop, quote)
    assert (order.state, order.last_failure_reason) == ("uri_set", "PEER_NOT_REACHABLE")
    assert told.hosts == [] and attempts(shop, quote) == []
    [postponed] = order.events.filter(cause="opening_postponed")
    assert "169.254.169.254" in postponed.facts["detail"]


def test_found_b5_a_peer_that_we_disconnect_is_brought_back_to_where_the_node_itself_had_it(
    shop: Shop, add_peer: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt from before is cancelled: the node was connected to an address that no buyer could name any more."""
    Service.objects.update(preflight="off")  # else it is connected before it is paid for
    wallet = add_peer()
    wallet.change(withholds_signature=True)
    quote = shop.buy(node_uri=wallet.p2p_address)
    shop.pay(quote)
    told = Told(shop.node, monkeypatch)

    def forbids(*args: Any) -> None:
        settings.DIAL_PRIVATE_ADDRESSES = False
        raise OutcomeUnknown("no signature")

    monkeypatch.setattr(committing, "verify", forbids)
    shop.turn()
    assert told.hosts == [wallet.p2p_host]  # while that was allowed
    settings.FRESH_ATTEMPT_SECONDS = 0
    go_on(shop, quote)
    assert told.hosts == [wallet.p2p_host] * 2
    assert [row.state for row in shop.order(quote).openings.all()] == ["failed"]
