"""What staff see of money that goes back on chain, and how they steer it: by the pages, and by the command."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from orders import actors, flags, keys, story
from orders.admin.deeds import DEEDS
from orders.causes import Cause, FlagKind
from orders.errors import InvalidField, NotPossible
from orders.management.commands.retry_give_up import os_user
from orders.models import ChannelOrder, Refund
from orders.operations import ending, refunding
from orders.payments import onchain
from orders.queries import order_or_raise
from orders.transitions import locked, note
from tests.factories import DepositFactory, OrderFactory
from tests.fakes import regtest_address
from tests.integration.staff import LIST, STEER, browser, do, journal, listed, page_of, seen, staff
from tests.integration.test_commands import fails, run
from tests.refunding import RefundFactory

pytestmark = pytest.mark.django_db

REFUNDS = "/admin/orders/refund/"
ADDRESS = regtest_address(77)
MAINNET = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
STEERED = ("pay_back", "keep_refund", "release_refund")


def due(**order: Any) -> Refund:
    """A refund that waits for an address, and its flag."""
    refund: Refund = RefundFactory(order=OrderFactory(expired=True, **order))
    flags.flag(refund.order.pk, FlagKind.REFUND_NEEDED, "60000 sat are to go back on chain.")
    return refund


def now(refund: Refund) -> Refund:
    return Refund.objects.select_related("order", "transaction").get(pk=refund.pk)


def found(client: Client, **query: str) -> set[int]:
    return {row.pk for row in client.get(REFUNDS, query).context["cl"].result_list}


def offered(client: Client, order: ChannelOrder) -> set[str]:
    page = client.get(page_of(order)).content.decode()
    return set(re.findall(r'name="deed" value="(\w+)"', page)) & set(STEERED)


# Seeing


def test_the_list_has_every_refund_and_leads_to_its_order(boss: Client) -> None:
    sent, kept = RefundFactory(published=True), RefundFactory(kept=True, amount_sat=1_234_567)
    page = boss.get(REFUNDS)
    assert page_of(sent.order) in page.content.decode()
    for told in ("Published", "60,000", "300", sent.address[:12], sent.transaction.txid[:12], "Kept", "1,234,567"):
        assert told in seen(page), told
    whole = seen(boss.get(reverse("admin:orders_refund_change", args=[sent.pk])))
    assert "Fee (sat): 0" not in seen(boss.get(reverse("admin:orders_refund_change", args=[kept.pk])))
    for told in (keys.reference(sent.order_id), sent.address, sent.transaction.txid, "59,700", "expired"):
        assert told in whole, told
    assert "The buyer asked us to wait." in seen(boss.get(reverse("admin:orders_refund_change", args=[kept.pk])))


def test_a_refund_is_found_by_state_address_transaction_and_order(boss: Client) -> None:
    sent, other = RefundFactory(published=True), due(refund_address=ADDRESS)
    for name in (sent.address, sent.transaction.txid, keys.reference(sent.order_id), str(sent.order_id)):
        assert found(boss, q=name) == {sent.pk}, name
    assert found(boss, state__exact="due") == {other.pk} == found(boss, q=ADDRESS)
    assert found(boss, q="zz%_'\"") == set()


def test_an_order_is_found_by_what_went_back_of_it(boss: Client) -> None:
    sent = RefundFactory(published=True)
    OrderFactory(expired=True)
    for name in (sent.address, sent.address.upper(), sent.transaction.txid):
        assert listed(boss, q=name) == {str(sent.order_id)}
    url = "/admin/orders/wallettransaction/"
    assert len(boss.get(url, {"q": keys.reference(sent.order_id)}).context["cl"].result_list) == 1


def test_an_orders_page_and_its_story_have_its_refunds(boss: Client) -> None:
    sent = RefundFactory(published=True)
    RefundFactory(order=sent.order, kept=True, amount_sat=700)
    page, told = seen(boss.get(page_of(sent.order))), run("order", str(sent.order_id))
    for fact in (sent.address, sent.transaction.txid, "The buyer asked us to wait.", "Published", "Kept"):
        assert fact in page and fact in told, fact
    for fact in ("Refund 1\n", "Refund 2\n", "60,000 sat", "300 sat: 59,700 sat are the buyer's", "700 sat"):
        assert fact in told, fact


@pytest.mark.parametrize(
    ("refund", "waits"),
    [
        ({}, "for an address, where 60,000 sat go back to"),
        ({"published": True}, "for the refund of 59,700 sat to be mined"),
        ({"published": True, "refunded_at": timezone.now()}, "for the refund of 59,700 sat to be deep in the chain"),
        ({"kept": True}, "for nothing: it was not paid in time"),
    ],
)
def test_what_an_order_waits_for_is_its_refund(refund: dict[str, Any], waits: str) -> None:
    order = order_or_raise(RefundFactory(**refund).order_id)
    assert story.waits_for(order, timezone.now()) == waits
    order.refund_address = ADDRESS
    told = {True: "for 60,000 sat to be sent back on chain", False: waits}[not refund]
    assert story.waits_for(order, timezone.now()) == told


# Steering


def test_deeds_are_offered_where_they_fit(boss: Client) -> None:
    waiting = due()
    RefundFactory(order=waiting.order, kept=True)
    assert offered(boss, waiting.order) == {"pay_back", "keep_refund"}
    assert offered(boss, RefundFactory(kept=True).order) == {"pay_back", "release_refund"}
    assert offered(boss, RefundFactory(published=True).order) == set()
    for order in (OrderFactory(), OrderFactory(open=True), OrderFactory(expired=True), OrderFactory(give_up=True)):
        assert offered(boss, order) == set()
    paid = OrderFactory(paid_onchain=True)
    assert offered(boss, paid) == {"pay_back"}  # nothing goes back yet, and something may have to


def test_an_address_is_typed_then_asked_about_and_then_said_in_the_persons_name(boss: Client) -> None:
    order = due().order
    first = do(boss, "pay_back", order)
    assert "60,000 sat of the buyer's go back on chain to the address that you give." in first
    assert "Address:" in first
    second = do(boss, "pay_back", order, typed=f" {ADDRESS} ")
    assert f"60,000 sat of the buyer's go back on chain to {ADDRESS}." in second
    assert "is not known before it is signed" in second and "the address cannot be changed" in second
    assert not ChannelOrder.objects.get(pk=order.pk).refund_address
    assert "Goes back to that address: " in do(boss, "pay_back", order, typed=ADDRESS, sure="yes")
    order.refresh_from_db()
    assert order.refund_address == ADDRESS and not order.standing
    assert ("refund_address_given", "staff:alice") in journal(order)
    assert f", not to {ADDRESS}" in do(boss, "pay_back", order, typed=regtest_address(78))


@pytest.mark.parametrize("sure", [{}, {"sure": "yes"}])
@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("", "Address: An address of 1 to 100 characters is required."),
        (MAINNET, "Address: This address is not for regtest."),
        ("nowhere", "Address: This is not a Bitcoin address we can pay"),
        (ADDRESS[:-1], "Address: This is not a Bitcoin address we can pay"),
        ("1" * 9_000, "Address: An address of 1 to 100 characters is required."),
        ("<script>alert(1)</script>\x00", "Address: This is not a Bitcoin address we can pay"),
    ],
)
def test_an_address_that_cannot_be_paid_is_told_and_asked_for_again(
    boss: Client, typed: str, fault: str, sure: dict[str, str]
) -> None:
    order = due().order
    before = journal(order)
    answer = boss.post(STEER, {"deed": "pay_back", "order": order.pk, "typed": typed, **sure})
    assert fault in seen(answer)
    assert 'name="sure"' not in answer.content.decode() and "<script>alert" not in answer.content.decode()
    order.refresh_from_db()
    assert not order.refund_address and journal(order) == before


@pytest.mark.parametrize("typed", ["", "   ", "x" * 301, "a\x00b", "a\x1b[31mb"])
def test_nothing_is_kept_without_a_reason_that_can_be_read(boss: Client, typed: str) -> None:
    refund = due()
    page = do(boss, "keep_refund", refund.order, typed=typed, sure="yes")
    assert "Reason: A reason of 1 to 300 characters is required." in page
    assert now(refund).state == "due"
    with pytest.raises(InvalidField):
        refunding.keep(refund.order.pk, reason=typed, actor=actors.staff("ada"))


def test_what_is_kept_is_asked_first_and_released_again(boss: Client) -> None:
    refund = due()
    order = refund.order
    page = do(boss, "keep_refund", order, typed="He  wants\nhis channel.")
    assert "60,000 sat stay in our wallet and are the buyer's still." in page
    assert "The journal says why: He wants his channel." in page and now(refund).state == "due"
    assert "Kept: " in do(boss, "keep_refund", order, typed="He wants his channel.", sure="yes")
    assert (now(refund).state, now(refund).detail) == ("kept", "He wants his channel.")
    assert not now(refund).order.standing
    page = do(boss, "release_refund", order)
    assert "60,000 sat that were kept for the buyer go back on chain, as soon as an address is known." in page
    assert now(refund).state == "kept"
    assert "Due again: " in do(boss, "release_refund", order, sure="yes")
    assert [flag.kind for flag in now(refund).order.standing] == ["refund_needed"]
    assert now(refund).state == "due" and ("refund_due", "staff:alice") in journal(order)


def test_a_stuck_refund_that_is_kept_needs_nobody() -> None:
    refund = due()
    flags.flag(refund.order.pk, FlagKind.REFUND_STUCK, "It cannot be sent back now.")
    refunding.keep(refund.order.pk, reason="Fees.", actor=actors.staff("ada"))
    assert not now(refund).order.standing


def test_what_is_typed_is_for_one_order_and_not_for_the_list(boss: Client) -> None:
    first, second = due(), due()
    both = [first.order, second.order]
    assert "for one order at a time" in do(boss, "pay_back", *both, typed=ADDRESS, sure="yes")
    boss.post(LIST, {"action": "pay_back", "_selected_action": [order.pk for order in both]})
    assert not ChannelOrder.objects.exclude(refund_address="").exists()
    choices = dict(boss.get(LIST).context["action_form"].fields["action"].choices)
    assert "release_refund" in choices and not {"pay_back", "keep_refund"} & set(choices)


@pytest.mark.parametrize("deed", STEERED)
def test_a_refund_on_its_way_and_an_order_without_one_are_refused(boss: Client, deed: str) -> None:
    typed = {"pay_back": ADDRESS, "keep_refund": "Why not."}.get(deed, "")
    for order in (RefundFactory(published=True).order, OrderFactory(expired=True)):
        before = journal(order)
        assert "Not possible, and left alone:" in do(boss, deed, order, typed=typed)
        assert f"{DEEDS[deed].label}: not {str(order.pk)[:8]}:" in do(boss, deed, order, typed=typed, sure="yes")
        order.refresh_from_db()
        assert journal(order) == before and not order.refund_address


@pytest.mark.parametrize("deed", STEERED)
def test_who_may_only_look_steers_no_money(deed: str) -> None:
    reader = browser(staff("rita", "view_channelorder", "view_refund"))
    refund = due()
    assert offered(reader, refund.order) == set()
    assert seen(reader.get(REFUNDS))
    form = {"deed": deed, "order": refund.order.pk, "typed": ADDRESS, "sure": "yes"}
    assert reader.post(STEER, form).status_code == 403
    assert not now(refund).order.refund_address and now(refund).state == "due"


def test_an_address_needs_the_token_of_its_form() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("alice"))
    form = {"deed": "pay_back", "order": due().order.pk, "typed": ADDRESS, "sure": "yes"}
    assert client.post(STEER, form).status_code == 403


def test_what_was_typed_stands_in_no_log(boss: Client, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    caplog.set_level(logging.DEBUG)
    order = due().order
    do(boss, "keep_refund", order, typed="For Bob of Main Street.", sure="yes")
    monkeypatch.setattr("orders.operations.refunding.release", broken)
    assert "by a fault of the server" in do(boss, "release_refund", order, sure="yes")
    assert "deed=release_refund failed" in caplog.text and "Main Street" not in caplog.text


# By hand


def journal_deposits(refund: Refund) -> None:
    """As whoever looks at deposits does, when they are seen first."""
    with locked(refund.order_id) as order:
        for deposit in order.onchain_payments.all():
            note(order, Cause.DEPOSIT_SEEN, txid=deposit.txid)


@pytest.mark.parametrize("kind", [{}, {"kept": True}])
def test_what_was_returned_by_hand_is_never_sent_again(kind: dict[str, Any]) -> None:
    refund = RefundFactory(**kind)
    journal_deposits(refund)
    ending.record_returned(refund.order_id, actor=actors.staff("ada"))
    assert now(refund).state == "withdrawn" and ("refund_withdrawn", "staff:ada") in journal(refund.order)
    order = order_or_raise(refund.order_id)
    assert onchain.live_refund(order) is None and onchain.due_sat(order, timezone.now()) <= 0
    with pytest.raises(NotPossible):
        refunding.release(order.pk, actor=actors.staff("ada"))
    with pytest.raises(NotPossible):
        refunding.say_refund_address(order.pk, ADDRESS, actor=actors.staff("ada"))


def test_what_comes_after_that_goes_back_by_itself_whole() -> None:
    refund = RefundFactory(kept=True)
    journal_deposits(refund)
    ending.record_returned(refund.order_id, actor=actors.staff("ada"))
    order = order_or_raise(refund.order_id)
    order.lsp_node.deposits_height = 900
    order.lsp_node.save()
    with locked(order.pk) as held:
        before_sat = onchain.due_sat(held, timezone.now())
    DepositFactory(order=order, amount_sat=9_000, block_height=810)
    assert onchain.due_sat(order_or_raise(order.pk), timezone.now()) == before_sat + 9_000


def test_an_order_whose_money_is_on_its_way_back_is_not_taken_for_paid() -> None:
    order = OrderFactory(expired=True)
    DepositFactory(order=order, confirmations=9)
    assert not ending.why_not_revived(order_or_raise(order.pk))
    RefundFactory(order=order, published=True, amount_sat=order.order_total_sat)
    with pytest.raises(NotPossible, match="going back"):
        ending.revive(order.pk, actor=actors.staff("ada"))


# The command


def test_the_command_does_what_the_buttons_do_in_the_name_of_who_runs_it() -> None:
    refund = due()
    name = keys.reference(refund.order_id)
    assert f"{refund.order_id}  what goes back goes to {ADDRESS}" in run("refund", name, "--to", ADDRESS)
    assert "kept: nothing goes back until" in run("refund", name, "--keep", "He asked for it.")
    assert now(refund).state == "kept"
    assert f"released: it goes back to {ADDRESS}" in run("refund", name, "--release")
    assert now(refund).state == "due"
    done = [cause for cause, actor in journal(refund.order) if actor == f"command:{os_user()}"]
    assert [cause for cause in done if cause.startswith("refund")] == [
        "refund_address_given", "refund_kept", "refund_due",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", MAINNET], "This address is not for regtest."),
        (["--to", ""], "An address of 1 to 100 characters is required."),
        (["--keep", " "], "A reason of 1 to 300 characters is required."),
        (["--release"], "Another refund of this order is under way."),
        ([], "--to"),
        (["--to", ADDRESS, "--release"], "--release"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(arguments: list[str], said: str) -> None:
    refund = due()
    out, told, code = fails("refund", str(refund.order_id), *arguments)
    assert said in told and code == 1 and not out
    assert now(refund).state == "due" and not now(refund).order.refund_address


def test_the_command_refuses_an_order_without_a_refund_and_none_at_all() -> None:
    order = OrderFactory(open=True)
    for arguments in (["--to", ADDRESS], ["--keep", "Why not."], ["--release"]):
        assert "No money of this order" in fails("refund", str(order.pk), *arguments)[1]
    assert "No order is known by" in fails("refund", "f" * 32, "--release")[1]
