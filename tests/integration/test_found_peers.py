"""What peers and strangers said was believed, kept or waited for: each test by the number of what was found."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any
from unittest.mock import Mock

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from lightning.errors import (
    InsufficientFunds,
    LightningError,
    NodeUnavailable,
    NotFound,
    OutcomeUnknown,
    PeerOffline,
    Rejected,
)
from lightning.types import NodeAddress
from orders import actors, queries
from orders.advance import advance
from orders.models import ChannelOrder, Service, SwitchName
from orders.openings import cancelling, opening, reasons, retrying, terms
from orders.operations import claiming, pausing
from orders.payments import lightning as lightning_rail
from orders.payments import security
from orders.payments.rail import Security
from tests.factories import OpeningFactory, OrderFactory, ServiceFactory, SnapshotFactory, pubkey
from tests.integration.conftest import Api
from tests.integration.staff import page_of, seen
from tests.scripted import ScriptedNode, held

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = actors.Authority(actors.Kind.TOKEN)


@pytest.fixture
def node() -> ScriptedNode:
    SnapshotFactory()
    if not Service.objects.exists():
        ServiceFactory()
    return ScriptedNode()


def claimed(node: ScriptedNode, **fields: Any) -> Any:
    order = OrderFactory(uri_set=True, due_at=timezone.now(), **fields)
    if order.counted_payment == "lightning":
        node.by_hash[order.hold_invoice.payment_hash] = held(order)
    return order


def look(order: Any, node: ScriptedNode) -> ChannelOrder:
    ChannelOrder.objects.filter(pk=order.pk).update(due_at=timezone.now())
    advance(order.pk, node=node)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


def waits(order: ChannelOrder, since: datetime, seconds: int) -> bool:
    """It was put off for just so long, at some moment since."""
    pause = timedelta(seconds=seconds)
    return order.due_at is not None and since + pause <= order.due_at <= timezone.now() + pause


# C5: trouble before an attempt

TROUBLE: list[tuple[str, LightningError, str]] = [
    ("connect", Rejected("cannot make connection to self", reason="PEER_NOT_REACHABLE"), "PEER_NOT_REACHABLE"),
    ("connect", PeerOffline("gone", reason="PEER_NOT_REACHABLE"), "PEER_NOT_REACHABLE"),
    ("connect", OutcomeUnknown("what?"), "FAILED_OPENING"),
    ("connect", NodeUnavailable("locked", reason="NODE_NOT_READY"), "NODE_NOT_READY"),
    ("transactions", NodeUnavailable("away"), "NODE_NOT_READY"),
    ("coins", NodeUnavailable("no", reason="PERMISSION_DENIED"), "NODE_NOT_READY"),
    ("channels_with", NotFound("what?"), "FAILED_OPENING"),
    ("pending_channels", OutcomeUnknown("what?"), "FAILED_OPENING"),
    ("leases", OutcomeUnknown("what?"), "FAILED_OPENING"),
]


def older(order: ChannelOrder) -> ChannelOrder:
    """Of a new one not all channels are asked for."""
    ChannelOrder.objects.filter(pk=order.pk).update(created_at=timezone.now() - timedelta(hours=1))
    return queries.order_or_raise(order.pk)


@pytest.mark.parametrize(("call", "error", "reason"), TROUBLE, ids=lambda part: part if isinstance(part, str) else "")
def test_found_c5_every_trouble_before_an_attempt_is_told_and_waited_for_longer_each_time(
    node: ScriptedNode, settings: Any, call: str, error: LightningError, reason: str
) -> None:
    order = older(claimed(node))
    node.fails_at[call] = error
    for failures in range(1, 10):
        since = timezone.now()
        order = look(order, node)
        assert (order.state, order.last_failure_reason, order.failed_openings) == ("uri_set", reason, failures)
        assert waits(order, since, min(settings.RETRY_FIRST_SECONDS * 2 ** (failures - 1), settings.RETRY_MAX_SECONDS))
    [told] = order.events.filter(cause="opening_postponed")
    assert told.facts["reason"] == reason and told.facts["detail"] == str(error)
    assert not order.openings.exists()


@pytest.mark.parametrize(("call", "error", "reason"), TROUBLE, ids=lambda part: part if isinstance(part, str) else "")
def test_found_c5_trouble_that_does_not_end_gives_up_at_the_deadline_with_its_reason(
    node: ScriptedNode, call: str, error: LightningError, reason: str
) -> None:
    order = older(claimed(node))
    node.fails_at[call] = error
    look(order, node)
    ChannelOrder.objects.filter(pk=order.pk).update(open_deadline_at=timezone.now() - timedelta(seconds=1))
    assert (look(order, node).state, queries.order_or_raise(order.pk).give_up_reason) == ("give_up", reason)


def test_that_our_coins_are_short_is_no_failure_of_the_order_and_takes_no_turn_from_it(
    node: ScriptedNode, settings: Any
) -> None:
    order = claimed(node)
    node.fails_at["coins"] = InsufficientFunds("none")
    for waited, pause in ((0, settings.RETRY_FIRST_SECONDS), (400, 100), (10**5, settings.RETRY_MAX_SECONDS)):
        ChannelOrder.objects.update(claimed_at=timezone.now() - timedelta(seconds=waited))
        since = timezone.now()
        order = look(order, node)
        assert (order.last_failure_reason, order.failed_openings) == ("INSUFFICIENT_FUNDS", 0)
        assert order.due_at is not None and abs((order.due_at - since).total_seconds() - pause) < 5


def test_found_c5_a_wait_does_not_outlast_the_window(node: ScriptedNode) -> None:
    until = timezone.now() + timedelta(seconds=3)
    order = claimed(node, open_deadline_at=until)
    node.fails_at["connect"] = Rejected("cannot make connection to self", reason="PEER_NOT_REACHABLE")
    assert look(order, node).due_at == until


def test_found_c5_a_deposit_that_was_taken_back_is_waited_for_with_its_reason(node: ScriptedNode) -> None:
    order = claimed(node, counted_payment="onchain")
    since = timezone.now()
    order = look(order, node)  # the wallet knows nothing of the deposit
    assert (order.state, order.last_failure_reason) == ("uri_set", "PAYMENT_NOT_SECURED")
    assert waits(order, since, 5) and "open_channel" not in node.calls


def test_found_c5_a_payment_that_could_not_be_settled_is_told_and_waited_for(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = claimed(node)
    monkeypatch.setattr(lightning_rail, "obstacle", lambda order: "The key is another one.")
    order = look(order, node)
    assert order.last_failure_reason == "PAYMENT_NOT_SECURED"
    assert [flag.words for flag in order.standing] == ["The key is another one."]
    assert order.failed_openings == 1


@pytest.mark.parametrize("what", ["paused", "insecure", "claimed anew", "sold otherwise"])
def test_found_c5_what_changes_while_the_peer_is_reached_leaves_its_reason(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    order = claimed(node)
    calls: list[str] = []

    def meanwhile(name: str) -> None:
        if name != "connect" or calls:
            return
        calls.append(name)
        if what == "paused":
            pausing.pause(SwitchName.OPENINGS, reason="fees", actor=actors.staff("ada"))
        elif what == "insecure":
            monkeypatch.setattr(security, "insecurity", lambda order: "It is not held any more.")
        elif what == "sold otherwise":
            Service.objects.update(announced_by_default=True)
        else:
            address = NodeAddress(order.node_pubkey)
            claiming.claim(order.pk, address, announced=True, actor=TOKEN)

    node.on_call = meanwhile
    order = look(order, node)
    wanted = {"paused": "OPENINGS_PAUSED", "insecure": "PAYMENT_NOT_SECURED"}
    assert calls and order.state == "uri_set"
    if what in wanted:
        assert order.last_failure_reason == wanted[what] and "open_channel" not in node.calls
    else:  # at once, and as it is wanted now
        assert [row.announced for row in order.openings.all()] == [True]


def test_found_c5_a_host_that_is_corrected_while_the_wrong_one_is_tried_is_tried_at_once(node: ScriptedNode) -> None:
    order = claimed(node, failed_openings=9)
    hosts = iter(["8.8.8.8:9735"])

    def meanwhile(name: str) -> None:
        host = next(hosts, "") if name == "connect" else ""
        if host:
            claiming.claim(
                order.pk,
                NodeAddress(order.node_pubkey, host),
                announced=None,
                actor=TOKEN,
            )
            raise PeerOffline("nobody there", reason="PEER_NOT_REACHABLE")

    node.on_call = meanwhile
    look(order, node)
    assert [address.rpartition("@")[2] for address in node.connected] == ["8.8.8.8:9735"]
    assert "open_channel" in node.calls


def test_found_c5_a_node_that_is_back_ends_the_pauses_that_it_caused() -> None:
    assert "NODE_NOT_READY" in reasons.ENDED_BY_A_BLOCK  # a connection's first word is the height


def test_found_c5_an_attempt_that_lost_the_node_remembers_that(node: ScriptedNode) -> None:
    order = claimed(node)
    node.fails_at["open_channel"] = NodeUnavailable("away")
    look(order, node)
    node.fails_at.clear()
    order = look(order, node)
    assert [row.failure_reason for row in order.openings.all()] == ["NODE_NOT_READY"]


# D2: who takes no public channel


def refused(order: Any, node: ScriptedNode, reason: str, *, announced: bool = True) -> ChannelOrder:
    """An attempt was made and refused so."""
    OpeningFactory(order=order, negotiating=True, announced=announced)
    cancelling.cancel(order.pk, node, reason=reason)  # type: ignore[arg-type]
    return queries.order_or_raise(order.pk)


@pytest.mark.parametrize("reason", ["CHANNEL_REJECTED", "ANNOUNCEMENT_REJECTED"])
def test_found_d2_a_public_channel_that_nobody_asked_for_is_tried_unannounced(
    node: ScriptedNode, boss: Client, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Service.objects.update(announced_by_default=True)
    order = claimed(node, failed_openings=7)
    assert terms.of(order).announced
    since = timezone.now()
    order = refused(order, node, reason)
    assert (order.state, order.announce_refused_by) == ("uri_set", order.node_pubkey)
    assert not terms.of(order).announced
    assert waits(order, since, 5)  # another channel is asked for: no reason for the long pause of before
    assert order.events.filter(cause="announcement_refused").count() == 1
    shown = Api().get("/channel/order", {"order_id": str(order.pk)}).said
    assert shown["private_channel"] is True
    assert order.node_pubkey in seen(boss.get(page_of(order))).split("Takes no public channel")[1]
    call_command("order", str(order.pk))
    assert "has refused a public one" in capsys.readouterr().out


@pytest.mark.parametrize("said", [{"announced_by_claim": True}, {"announced_by_purchase": True}])
@pytest.mark.parametrize(("reason", "state"), [("CHANNEL_REJECTED", "uri_set"), ("ANNOUNCEMENT_REJECTED", "give_up")])
def test_found_d2_who_asked_for_a_public_channel_gets_no_other(
    node: ScriptedNode, said: dict[str, bool], reason: str, state: str
) -> None:
    order = refused(claimed(node, **said), node, reason)
    assert (order.state, order.announce_refused_by) == (state, "")
    assert terms.of(order).announced


@pytest.mark.parametrize("said", [{}, {"announced_by_claim": False}, {"announced_by_purchase": False}])
@pytest.mark.parametrize(("reason", "state"), [("CHANNEL_REJECTED", "uri_set"), ("ANNOUNCEMENT_REJECTED", "give_up")])
def test_found_d2_a_private_channel_never_becomes_public(
    node: ScriptedNode, said: dict[str, bool], reason: str, state: str
) -> None:
    order = refused(claimed(node, **said), node, reason, announced=False)
    assert (order.state, order.announce_refused_by) == (state, "")
    assert not terms.of(order).announced


@pytest.mark.parametrize(
    "reason", ["PEER_NOT_REACHABLE", "FEE_RATE_REJECTED", "FAILED_OPENING", "PEER_TOO_MANY_PENDING_CHANNELS"]
)
def test_found_d2_what_has_another_cause_leaves_the_channel_public(node: ScriptedNode, reason: str) -> None:
    Service.objects.update(announced_by_default=True)
    assert terms.of(refused(claimed(node), node, reason)).announced


def test_found_d2_what_one_node_refuses_says_nothing_of_another(node: ScriptedNode) -> None:
    Service.objects.update(announced_by_default=True)
    order = refused(claimed(node), node, "CHANNEL_REJECTED")
    first = NodeAddress(order.node_pubkey)
    claiming.claim(order.pk, NodeAddress(pubkey(9)), announced=None, actor=TOKEN)
    assert terms.of(queries.order_or_raise(order.pk)).announced
    claiming.claim(order.pk, first, announced=None, actor=TOKEN)
    assert not terms.of(queries.order_or_raise(order.pk)).announced
    claiming.claim(order.pk, first, announced=True, actor=TOKEN)  # he says so at last
    assert terms.of(queries.order_or_raise(order.pk)).announced


def test_found_d2_past_its_deadline_the_order_gives_up(node: ScriptedNode) -> None:
    Service.objects.update(announced_by_default=True)
    order = claimed(node, open_deadline_at=timezone.now())
    assert refused(order, node, "CHANNEL_REJECTED").give_up_reason == "CHANNEL_REJECTED"


def test_found_d2_a_new_shop_sells_unannounced_channels_and_an_old_one_what_it_did() -> None:
    assert Service().announced_by_default is False
    Service.objects.all().delete()
    old = Service.objects.create(announced_by_default=True)
    import_module("orders.migrations.0002_first_service").make(apps, Mock())
    assert Service.objects.exclude(pk=old.pk).get().announced_by_default is False
    later = import_module("orders.migrations.0015_who_takes_no_public_channel").Migration.operations
    assert not [each for each in later if hasattr(each, "code")]  # nothing touches the services that there are


# D4: what may pass


@pytest.mark.parametrize("reason", sorted(reasons.PASSING))
def test_found_d4_what_may_pass_is_tried_again_within_the_window(node: ScriptedNode, reason: str) -> None:
    order = refused(claimed(node), node, reason)
    assert (order.state, order.last_failure_reason) == ("uri_set", reason)
    assert order.due_at is not None and order.due_at > timezone.now()


@pytest.mark.parametrize("reason", sorted(reasons.FINAL))
def test_found_d4_a_final_refusal_counts_as_a_failure(node: ScriptedNode, boss: Client, reason: str) -> None:
    order = refused(claimed(node), node, reason, announced=False)
    assert (order.state, order.give_up_reason, order.failed_openings) == ("give_up", reason, 1)
    assert "Failed openings: 1" in seen(boss.get(page_of(order)))


@pytest.mark.parametrize(("rail", "flagged"), [("lightning", False), ("onchain", True)])
def test_found_d4_a_final_refusal_calls_a_person_where_money_does_not_go_back_by_itself(
    node: ScriptedNode, monkeypatch: pytest.MonkeyPatch, rail: str, flagged: bool
) -> None:
    monkeypatch.setattr(security, "look", lambda order, node: Security(secured=True, lost=False, reason=""))
    order = refused(claimed(node, counted_payment=rail), node, "PEER_POLICY")
    assert (order.state, order.needs_staff) == ("give_up", flagged)
    assert [flag.words[:21] for flag in order.standing] == (["Gave up (PEER_POLICY)"] if flagged else [])


def test_found_d4_the_word_of_a_trouble_that_is_nobodys_fault_counts_as_none(node: ScriptedNode) -> None:
    order = claimed(node)
    assert retrying.postpone(order.pk, "PEER_BUSY", "wait")
    assert queries.order_or_raise(order.pk).failed_openings == 0


def test_found_d4_no_wait_is_written_for_an_order_that_does_not_wait(node: ScriptedNode) -> None:
    order = OrderFactory(opening=True)
    assert not retrying.postpone(order.pk, "PEER_BUSY", "wait")
    assert opening.reason_of(NodeUnavailable("x", reason="NETWORK_MISMATCH")) == "NODE_NOT_READY"
