"""Whom we do not serve: refused at every door in the same words, and never told why; listed by staff."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from lightning.transactions import address_script
from lightning.types import NodeAddress
from orders import actors, keys, serving
from orders.barring import BanKind
from orders.causes import FlagKind
from orders.errors import InvalidField, NotAllowed, NotPossible, NotServed
from orders.models import Ban, ChannelOrder, Node, OnchainPayment, Refund
from orders.operations import banning, claiming, ending, giving_up, refunding
from orders.payments import onchain
from orders.payments.onchain import counting, late
from orders.states import OrderState, RefundState
from tests.factories import DepositFactory, NodeFactory, OrderFactory, SnapshotFactory, pubkey
from tests.fakes import regtest_address
from tests.integration.conftest import Api
from tests.integration.staff import browser, staff
from tests.integration.test_commands import fails, run
from tests.refunding import RefundFactory
from tests.scripted import ScriptedNode
from tests.site.documented import blocks

ADA = actors.staff("ada")
SECRET = "asked for by the court of nowhere"
HOST = "node.example.com"
NODE_URI = f"{pubkey(5)}@{HOST}:9735"
REFUND_TO, PAYER = regtest_address(71), regtest_address(72)
NODE_SENTENCE = "We do not open channels to this node."
ADDRESS_SENTENCE = "We do not send money to this address: name another one."


def ban(kind: BanKind, value: str, **more: Any) -> Ban:
    return banning.add(kind, value, **{"reason": SECRET, "actor": ADA} | more)


BANS = {BanKind.NODE: pubkey(5), BanKind.HOST: ".example.com"}


def refused(answer: Any, sentence: str, field: str) -> bool:
    said = answer.said
    assert SECRET not in json.dumps(said)
    return (answer.status_code, said["code"], said["field"], said["error"]) == (403, "not_served", field, sentence)


# At the doors


@pytest.mark.parametrize("kind", BANS)
def test_a_listed_node_is_quoted_nothing(api: Api, kind: BanKind) -> None:
    ban(kind, BANS[kind])
    assert refused(api.buy(node_uri=NODE_URI), NODE_SENTENCE, "node_uri")
    assert not ChannelOrder.objects.exists()
    assert api.buy(node_uri=f"{pubkey(6)}@other.example.org:9735").status_code == 200


@pytest.mark.parametrize("kind", BANS)
def test_nor_is_an_order_claimed_for_it(api: Api, kind: BanKind) -> None:
    ban(kind, BANS[kind])
    order = OrderFactory(paid_lightning=True)
    body = {"order_id": str(order.pk), "node_uri": NODE_URI}
    assert refused(api.post("/channel/manual_finalise", body), NODE_SENTENCE, "node_uri")
    order.refresh_from_db()
    assert (order.state, order.node_pubkey) == (OrderState.PAID, "")


def test_nor_by_lnurl(api: Api) -> None:
    ban(BanKind.NODE, pubkey(5))
    order = OrderFactory(paid_lightning=True)
    answer = api.get("/lnurl/channel", {"k1": str(order.pk), "remoteid": pubkey(5), "private": "1"})
    assert answer.said == {"status": "ERROR", "reason": NODE_SENTENCE}


def test_nor_is_a_claim_changed_to_it(api: Api) -> None:
    ban(BanKind.NODE, pubkey(5))
    order = OrderFactory(uri_set=True)
    token = keys.order_token(order.pk)
    body = {"order_id": str(order.pk), "node_uri": pubkey(5), "order_token": token}
    assert refused(api.post("/channel/manual_finalise", body), NODE_SENTENCE, "node_uri")


def test_who_restores_our_records_claims_for_what_is_there_already(db: None) -> None:
    """Else a channel that exists could not be adopted, and its payment would go back."""
    ban(BanKind.NODE, pubkey(5))
    order = OrderFactory(paid_lightning=True)
    claiming.claim(order.pk, NodeAddress(pubkey(5)), announced=None, actor=actors.command("root"))
    with pytest.raises(NotServed):
        claiming.claim(order.pk, NodeAddress(pubkey(5)), announced=None, actor=actors.node(pubkey(5)))


def test_money_is_to_go_back_to_no_listed_address(api: Api) -> None:
    ban(BanKind.REFUND_ADDRESS, REFUND_TO)
    assert refused(api.buy(refund_onchain_address=REFUND_TO), ADDRESS_SENTENCE, "refund_onchain_address")
    order = OrderFactory()
    body = {"order_id": str(order.pk), "order_token": keys.order_token(order.pk), "refund_onchain_address": REFUND_TO}
    answer = api.post("/channel/refund_address", body)
    assert refused(answer, ADDRESS_SENTENCE, "refund_onchain_address")
    order = OrderFactory(rejected=True)
    with pytest.raises(NotServed):
        refunding.say_refund_address(order.pk, REFUND_TO, actor=ADA)


def test_who_is_listed_for_one_thing_is_served_with_the_others(api: Api) -> None:
    ban(BanKind.PAYER, REFUND_TO)
    assert api.buy(refund_onchain_address=REFUND_TO).status_code == 200


def test_what_was_lifted_or_has_ended_is_served_again(api: Api) -> None:
    lifted = ban(BanKind.NODE, pubkey(5))
    banning.lift(lifted.pk, actor=ADA)
    assert api.buy(node_uri=NODE_URI).status_code == 200
    ban(BanKind.NODE, pubkey(5), until=timezone.now() + timedelta(hours=1))
    assert api.buy(node_uri=NODE_URI).status_code == 403
    Ban.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert api.buy(node_uri=NODE_URI).status_code == 200


# Money that is there already


@pytest.fixture
def seen(db: None) -> None:
    SnapshotFactory()
    NodeFactory()


def paid_by(order: ChannelOrder, address: str, amount_sat: int | None = None, **more: Any) -> OnchainPayment:
    amount = {} if amount_sat is None else {"amount_sat": amount_sat}
    return DepositFactory(order=order, payers=[address_script(address)], **amount, **more)


def state_of(order: ChannelOrder) -> str:
    return str(ChannelOrder.objects.get(pk=order.pk).state)


@pytest.fixture
def deep(seen: None) -> None:
    Node.objects.update(deposits_height=803)


def test_what_a_listed_payer_has_paid_buys_nothing_and_is_rejected(deep: None) -> None:
    ban(BanKind.PAYER, PAYER)
    order = OrderFactory()
    paid_by(order, PAYER)
    counting.count(order.pk)
    order.refresh_from_db()
    assert (order.state, order.give_up_reason) == (OrderState.REJECTED, "NOT_SERVED")
    assert order.hold_invoice.state == "returning"  # nor can it be paid by Lightning any more
    assert SECRET not in json.dumps(list(order.events.values_list("facts", flat=True)))


def test_control_who_is_not_listed_has_paid(deep: None) -> None:
    ban(BanKind.PAYER, REFUND_TO)
    order = OrderFactory()
    paid_by(order, PAYER)
    counting.count(order.pk)
    assert state_of(order) == OrderState.PAID


def test_a_listed_stranger_cannot_end_an_order_that_another_pays(deep: None) -> None:
    """The address of an order is shown to who knows its id: a deposit of dust to it must not be a weapon."""
    ban(BanKind.PAYER, PAYER)
    order = OrderFactory()
    paid_by(order, PAYER, 600)
    paid_by(order, REFUND_TO)
    counting.count(order.pk)
    assert state_of(order) == OrderState.PAID


def test_nor_is_the_channel_bought_with_a_part_of_his(deep: None) -> None:
    ban(BanKind.PAYER, PAYER)
    order = OrderFactory()
    paid_by(order, PAYER, 600)
    paid_by(order, REFUND_TO, order.order_total_sat - 600)
    counting.count(order.pk)
    assert state_of(order) == OrderState.REJECTED


def test_what_he_pays_late_goes_back_and_staff_cannot_take_it(deep: None) -> None:
    ban(BanKind.PAYER, PAYER)
    order = OrderFactory(expired=True)
    paid_by(order, PAYER)
    assert not late.buys(ChannelOrder.objects.get(pk=order.pk), timezone.now())
    late.take(order.pk)
    assert state_of(order) == OrderState.EXPIRED
    with pytest.raises(NotPossible, match="list"):
        ending.revive(order.pk, actor=ADA)


def test_a_refund_whose_address_was_listed_since_is_kept_and_staff_say_another(
    transactional_db: None,
) -> None:
    SnapshotFactory()
    order = OrderFactory(expired=True, refund_address=REFUND_TO)
    RefundFactory(order=order)
    ban(BanKind.REFUND_ADDRESS, REFUND_TO)
    node = ScriptedNode()
    onchain.finish_return(order.pk, node)  # type: ignore[arg-type]
    refund = Refund.objects.get()
    [flag] = ChannelOrder.objects.get(pk=order.pk).standing
    assert (refund.state, flag.kind) == (RefundState.KEPT, FlagKind.REFUND_BARRED)
    assert not {"finalize_psbt", "publish"} & set(node.calls) and SECRET not in flag.words + refund.detail
    buyer = actors.buyer(order.pk, keys.order_token(order.pk))
    refunding.say_refund_address(order.pk, regtest_address(80), actor=buyer)
    assert ChannelOrder.objects.get(pk=order.pk).standing, "it is kept still, and staff are to release it"
    refunding.release(order.pk, actor=ADA)
    assert Refund.objects.get().state == RefundState.DUE
    assert not ChannelOrder.objects.get(pk=order.pk).standing


def test_an_order_that_was_turned_away_is_neither_claimed_anew_nor_retried_while_its_node_is_listed(seen: None) -> None:
    order = OrderFactory(give_up=True, give_up_reason="NOT_SERVED", node_pubkey=pubkey(5))
    ban(BanKind.NODE, pubkey(5))
    assert not claiming.is_open(order)
    assert "list" in giving_up.why_not_retried(order)
    Ban.objects.update(lifted_at=timezone.now(), lifted_by="x")
    assert giving_up.why_not_retried(order) == ""


# Staff


def test_the_list_says_who_has_written_and_lifted_what_when_and_why(db: None) -> None:
    written = ban(BanKind.HOST, "*.Example.COM")
    banning.lift(written.pk, actor=actors.staff("bob"))
    banning.lift(written.pk, actor=ADA)  # again is fine, and changes nothing
    row = Ban.objects.get()
    assert (row.value, row.reason, row.created_by, row.lifted_by) == (".example.com", SECRET, "staff:ada", "staff:bob")
    assert row.created_at and row.lifted_at and not banning.is_standing(row)


def test_one_thing_is_listed_once_at_a_time(db: None) -> None:
    first = ban(BanKind.NODE, pubkey(5))
    with pytest.raises(NotPossible):
        ban(BanKind.NODE, pubkey(5).upper())
    with pytest.raises(IntegrityError), transaction.atomic():
        Ban.objects.create(kind="node", value=pubkey(5), reason="x", created_at=timezone.now(), created_by="x")
    Ban.objects.filter(pk=first.pk).update(until=timezone.now() - timedelta(days=1))
    second = ban(BanKind.NODE, pubkey(5))  # the first has ended by itself
    assert [row.lifted_by for row in Ban.objects.all()] == ["lsp", ""] and banning.is_standing(second)


@pytest.mark.parametrize(
    "given", [{"reason": " "}, {"reason": "x" * 301}, {"until": timezone.now() - timedelta(days=1)}]
)
def test_no_line_without_a_reason_nor_one_that_is_over(db: None, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidField):
        ban(BanKind.NODE, pubkey(5), **given)
    assert not Ban.objects.exists()


def test_no_buyer_writes_the_list(db: None) -> None:
    for actor in (actors.BUYER, actors.node(pubkey(5)), actors.LSP):
        with pytest.raises(NotAllowed):
            ban(BanKind.NODE, pubkey(5), actor=actor)


def test_orders_that_it_concerns_are_looked_at_at_once(seen: None) -> None:
    theirs = OrderFactory(uri_set=True, node_pubkey=pubkey(5))
    others = OrderFactory(uri_set=True)
    paid = OrderFactory(paid_onchain=True)
    paid.onchain_payments.update(payers=[address_script(PAYER)])
    ban(BanKind.NODE, pubkey(5))
    ban(BanKind.PAYER, PAYER)
    due = set(ChannelOrder.objects.exclude(due_at=None).values_list("pk", flat=True))
    assert due == {theirs.pk, paid.pk} and others.pk not in due


def test_staff_add_and_lift_in_the_admin(boss: Client) -> None:
    said = {"kind": "host", "value": "203.0.113.9/24", "reason": SECRET, "until_0": "", "until_1": ""}
    boss.post("/admin/orders/ban/add/", said)
    row = Ban.objects.get()
    assert (row.value, row.reason, row.created_by, row.until) == ("203.0.113.0/24", SECRET, "staff:alice", None)
    page = boss.get(f"/admin/orders/ban/{row.pk}/change/").content.decode()
    assert "203.0.113.0/24" in page and SECRET in page and 'name="_save"' not in page
    boss.post("/admin/orders/ban/", {"action": "lift", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert row.lifted_by == "staff:alice"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "nonsense nonsense"}, "A host is a name"),
        ({"kind": "node"}, "66 hex digits"),
        ({"reason": ""}, "This field is required"),
        ({"until_0": "2001-01-01", "until_1": "00:00"}, "in the future"),
    ],
)
def test_what_cannot_be_listed_is_said_beside_the_field(boss: Client, change: dict[str, str], words: str) -> None:
    said = {"kind": "host", "value": HOST, "reason": SECRET, "until_0": "", "until_1": ""}
    answer = boss.post("/admin/orders/ban/add/", said | change)
    assert words in answer.content.decode() and not Ban.objects.exists()
    ban(BanKind.HOST, HOST)
    assert "listed already" in boss.post("/admin/orders/ban/add/", said).content.decode()


def test_nobody_edits_or_deletes_a_line_and_who_may_only_look_changes_nothing(boss: Client) -> None:
    row = ban(BanKind.HOST, HOST)
    boss.post(f"/admin/orders/ban/{row.pk}/change/", {"kind": "host", "value": "x.org", "reason": "y"})
    assert boss.post(f"/admin/orders/ban/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    reader = browser(staff("rita", "view_ban"))
    assert reader.get("/admin/orders/ban/").status_code == 200
    assert reader.post("/admin/orders/ban/add/", {"kind": "host", "value": "x.org", "reason": "y"}).status_code == 403
    reader.post("/admin/orders/ban/", {"action": "lift", "_selected_action": [row.pk]})
    assert list(Ban.objects.values_list("value", "lifted_at")) == [(HOST, None)]
    assert User.objects.count() == 2


def test_the_command_lists_adds_and_lifts(db: None) -> None:
    assert "everybody is served" in run("bans")
    run("bans", "--add", "node", pubkey(5), "--reason", SECRET, "--until", "2999-01-31")
    run("bans", "--add", "host", ".example.com", "--reason", SECRET)
    [node, host] = json.loads(run("bans", "--json"))
    assert (node["kind"], node["value"], node["reason"], node["stands"]) == ("node", pubkey(5), SECRET, True)
    assert (node["until"].startswith("2999-01-31") and node["created_by"].startswith("command:")) or node["created_by"]
    assert SECRET in run("bans") and ".example.com" in run("bans")
    run("bans", "--lift", str(host["number"]))
    assert [row["number"] for row in json.loads(run("bans", "--json"))] == [node["number"]]
    assert [row["stands"] for row in json.loads(run("bans", "--all", "--json"))] == [True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--add", "node", "02ab", "--reason", "x"], "66 hex digits"),
        (["--add", "person", "x", "--reason", "x"], "KIND must be one of"),
        (["--add", "host", HOST], "go together"),
        (["--reason", "x"], "go together"),
        (["--until", "2999-01-01"], "go together"),
        (["--lift", "7"], "no such line"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(db: None, arguments: list[str], words: str) -> None:
    assert words in fails("bans", *arguments)[1]
    assert not Ban.objects.exists()


def test_the_command_reads_dates(db: None) -> None:
    with pytest.raises(CommandError, match="must be a date"):
        run("bans", "--add", "host", HOST, "--reason", "x", "--until", "tomorrow")


def test_the_page_lists_as_it_says(db: None) -> None:
    lines = "".join(block.text for block in blocks("docs/operating.md", "Whom you do not serve", "sh")).splitlines()
    said = [run(*shlex.split(line)[2:]) for line in lines]
    assert "everybody is served" in said[0]
    assert [(row["kind"], row["value"], row["stands"]) for row in json.loads(said[-1])] == [
        ("host", ".example.com", True), ("host", "203.0.113.0/24", True),
    ]  # fmt: skip


def test_nobody_listed_costs_no_more_than_one_question(seen: None, django_assert_num_queries: Any) -> None:
    order = OrderFactory(uri_set=True)
    with django_assert_num_queries(1):
        assert not serving.bars_node(order)
