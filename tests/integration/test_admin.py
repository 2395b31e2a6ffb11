"""What staff see of orders, and that they edit nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success

from orders import keys
from orders.models import (
    ChannelOpening,
    ChannelOrder,
    Heartbeat,
    HoldInvoice,
    IdempotencyKey,
    NodeSnapshot,
    OnchainPayment,
    OrderEvent,
    Refund,
    WalletTransaction,
)
from orders.reconcile import beat
from orders.states import OrderState
from tests.booking import carry
from tests.factories import DepositFactory, OpeningFactory, OrderFactory, SnapshotFactory
from tests.integration.staff import LIST, every_kind, listed, page_of, seen
from tests.refunding import RefundFactory

READ_ONLY = (
    ChannelOrder,
    HoldInvoice,
    OnchainPayment,
    ChannelOpening,
    WalletTransaction,
    Refund,
    OrderEvent,
    NodeSnapshot,
    Heartbeat,
    IdempotencyKey,
)

pytestmark = pytest.mark.django_db


# Finding


def test_the_list_shows_amounts_with_their_thousands_apart_and_surprises_as_marks(boss: Client) -> None:
    OrderFactory(uri_set=True, lsp_balance_sat=2_000_000, client_balance_sat=150_000, paid_late=True)
    page = seen(boss.get(LIST))
    assert "2,000,000 + 150,000" in page
    assert "161,120" in page and "Claimed" in page
    assert "paid late" in seen(boss.get(LIST, {"surprise": "paid_late"}))
    assert 'class="lsp-mark lsp-alarm">paid late<' in boss.get(LIST).content.decode()


@pytest.mark.parametrize("surprise", ["needs_staff", "paid_late", "underpaid", "overpaid"])
def test_each_surprise_has_a_filter(boss: Client, surprise: str) -> None:
    unusual = OrderFactory(**{"flagged" if surprise == "needs_staff" else surprise: True})
    OrderFactory()
    assert listed(boss, surprise=surprise) == {str(unusual.pk)}
    assert listed(boss, surprise="any") == {str(unusual.pk)}


def test_orders_are_filtered_by_state_and_by_the_payment_that_counts(boss: Client) -> None:
    unpaid, onchain, lightning = OrderFactory(), OrderFactory(paid_onchain=True), OrderFactory(uri_set=True)
    assert listed(boss, state__exact="uri_set") == {str(lightning.pk)}
    assert listed(boss, rail="onchain") == {str(onchain.pk)}
    assert listed(boss, rail="none") == {str(unpaid.pk)}


FINDERS: dict[str, Callable[[ChannelOrder], str]] = {
    "the whole id": lambda order: str(order.pk),
    "the beginning of the id": lambda order: str(order.pk)[:23],
    "the id without dashes": lambda order: order.pk.hex[:14],
    "the node": lambda order: order.node_pubkey,
    "the node's address": lambda order: f"{order.node_pubkey}@198.51.100.7:9735",
    "the payment hash": lambda order: order.hold_invoice.payment_hash,
    "the invoice": lambda order: f"lightning:{order.hold_invoice.payment_request}".upper(),
    "the deposit address": lambda order: f"bitcoin:{order.deposit_address}?amount=1",
    "the funding outpoint": lambda order: order.openings.all()[0].funding_outpoint,
    "the deposit's txid": lambda order: order.onchain_payments.all()[0].txid,
    "the closing txid": lambda order: order.closing_txid,
    "the channel": lambda order: order.openings.all()[0].short_channel_id,
}


@pytest.mark.parametrize("what", FINDERS)
def test_an_order_is_found_by(boss: Client, what: str) -> None:
    order = OrderFactory(closed=True)
    DepositFactory(order=order)
    other = OrderFactory(opening=True)
    DepositFactory(order=other)
    assert listed(boss, q=FINDERS[what](order)) == {str(order.pk)}


def test_a_search_for_nothing_we_have_finds_nothing(boss: Client) -> None:
    OrderFactory(open=True)
    assert listed(boss, q="zz%_'\"") == set()
    assert listed(boss, q="ff" * 32) == set()


def test_the_list_asks_the_database_as_often_for_many_orders_as_for_few(
    boss: Client, django_assert_max_num_queries: Any
) -> None:
    every_kind()
    seen(boss.get(LIST))  # the first of a minute writes when the session was used last
    with django_assert_max_num_queries(11) as few:
        seen(boss.get(LIST))
    for _ in range(2):
        every_kind()
    with django_assert_max_num_queries(len(few.captured_queries)):
        seen(boss.get(LIST))


def test_an_orders_page_asks_the_database_as_often_however_long_its_story(
    boss: Client, django_assert_max_num_queries: Any
) -> None:
    order = OrderFactory(open=True)
    carry()  # two of them for the books
    seen(boss.get(page_of(order)))
    with django_assert_max_num_queries(29) as few:
        seen(boss.get(page_of(order)))
    for number in range(5):
        OpeningFactory(order=order, failed=True)
        DepositFactory(order=order)
        RefundFactory(order=order, state="done", published=True)
        OrderEvent.objects.create(
            order=order, version=number + 1, at=timezone.now(), actor="lsp", cause="x", to_state="open"
        )
    with django_assert_max_num_queries(len(few.captured_queries)):
        seen(boss.get(page_of(order)))


# Reading


def test_every_page_of_every_record_opens(boss: Client) -> None:
    SnapshotFactory()
    beat("streams", "well")
    orders = every_kind()
    RefundFactory(published=True), RefundFactory(kept=True), RefundFactory()
    IdempotencyKey.objects.create(key_hash="k" * 64, body_hash="b" * 64, created_at=timezone.now())
    IdempotencyKey.objects.create(key_hash="l" * 64, body_hash="b" * 64, created_at=timezone.now(), order=orders[0])
    for model in READ_ONLY:
        name = f"admin:orders_{model._meta.model_name}"
        assert boss.get(reverse(f"{name}_changelist"), {"q": "a b"}).status_code == 200
        seen(boss.get(reverse(f"{name}_changelist")))
        assert model.objects.exists()
        for row in model.objects.all():
            named = keys.reference(row.pk) if isinstance(row, ChannelOrder) else row.pk
            seen(boss.get(reverse(f"{name}_change", args=[named])))


def test_an_orders_page_tells_its_story_in_the_order_of_the_questions(boss: Client) -> None:
    order = OrderFactory(give_up=True, lsp_balance_sat=3_000_000)
    OrderEvent.objects.create(
        order=order,
        version=1,
        at=timezone.now(),
        actor="buyer",
        cause="created",
        to_state="created",
        facts={"order_total_sat": 1234567},
    )
    page = seen(boss.get(page_of(order)))
    questions = [
        "What was ordered",
        "At which price",
        "Paid how",
        "For which node",
        "Where is it",
        "Why does it wait",
        "Lightning invoice",
        "Attempts to open",
        "Journal",
    ]
    places = [page.index(question) for question in questions]
    assert places == sorted(places)
    assert "3,050,000 sat = 3,000,000 ours + 50,000 pushed" in page
    assert "1,234,567 sat" in page
    assert f"for a retry until {order.give_up_until:%Y-%m-%d %H:%M:%S} UTC" in page


def test_what_needs_a_person_stands_on_top_of_the_page(boss: Client) -> None:
    order = OrderFactory(flagged="Somebody has to look.")
    assert "This order needs a person: Somebody has to look." in seen(boss.get(page_of(order)))


def test_no_page_of_an_order_shows_a_secret(boss: Client) -> None:
    order = OrderFactory(open=True)
    opening = order.openings.get()
    invoice = order.hold_invoice
    urls = [
        page_of(order),
        LIST,
        f"/admin/orders/holdinvoice/{invoice.pk}/change/",
        f"/admin/orders/channelopening/{opening.pk}/change/",
        f"/admin/orders/wallettransaction/{opening.transaction_id}/change/",
    ]
    secrets = [keys.preimage(order.pk).hex(), keys.order_token(order.pk)]
    for url in urls:
        page = boss.get(url).content.decode()
        assert not [secret for secret in secrets if secret in page]


def test_a_missing_order_leads_back_and_is_no_error(boss: Client) -> None:
    for name in ("1b9c1c52-0000-4000-8000-000000000000", "no-id"):
        assert boss.get(f"{LIST}{name}/change/").status_code == 302


def test_the_journal_is_filtered_and_told_in_words(boss: Client) -> None:
    order = OrderFactory(uri_set=True)
    for number, state in enumerate((OrderState.URI_SET, OrderState.OPENING), start=1):
        OrderEvent.objects.create(
            order=order, version=number, at=timezone.now(), actor="lsp", cause="opening_begun", to_state=state
        )
    page = boss.get("/admin/orders/orderevent/").content.decode()
    assert "By at" not in page and "to state" not in page and "opening begun" in page
    assert str(OrderState.URI_SET.label) in page and ">uri_set<" not in page
    some = boss.get("/admin/orders/orderevent/?to_state=uri_set")
    assert (some.status_code, some.context["cl"].result_count) == (200, 1)
    today = boss.get(f"/admin/orders/orderevent/?at__gte={timezone.now():%Y-%m-%d}+00%3A00%3A00%2B00%3A00")
    assert (today.status_code, today.context["cl"].result_count) == (200, 2)


def test_a_private_channel_does_not_look_like_a_fault(boss: Client) -> None:
    page = boss.get(page_of(OrderFactory(uri_set=True))).content.decode()
    assert "icon-no" not in page and re.search(r"Channel is.*?private", page, re.DOTALL)


# Nothing is edited


@pytest.mark.parametrize("model", READ_ONLY)
def test_not_even_a_superuser_adds_changes_or_deletes(boss: Client, model: Any) -> None:
    SnapshotFactory()
    beat("streams")
    order = OrderFactory(opening=True)
    DepositFactory(order=order)
    RefundFactory(order=order)
    OrderEvent.objects.create(order=order, version=1, at=timezone.now(), actor="lsp", cause="c", to_state="opening")
    IdempotencyKey.objects.create(key_hash="k" * 64, body_hash="b" * 64, created_at=timezone.now())
    row = model.objects.get()
    before = model.objects.values().get()
    base = f"/admin/orders/{model._meta.model_name}/"
    assert boss.get(f"{base}add/").status_code == 403
    assert boss.post(f"{base}{row.pk}/change/", {"state": "open", "order_total_sat": 1}).status_code == 403
    assert boss.post(f"{base}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    boss.post(base, {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"})
    assert model.objects.values().get() == before


def test_no_page_of_an_order_has_a_field_to_fill_in(boss: Client) -> None:
    order = OrderFactory(opening=True)
    page = boss.get(page_of(order)).content.decode()
    names = re.findall(r"<(?:input|select|textarea)[^>]*name=\"([^\"]+)\"", page)
    assert {name for name in names if not re.search(r"_FORMS$", name)} <= {
        "csrfmiddlewaretoken",
        "order",
        "back",
        "next",
    }


@pytest.mark.parametrize("model", [Failure, OrmQ, Schedule, Success])
def test_no_task_of_the_queue_can_be_run_again_by_hand(boss: Client, model: Any) -> None:
    assert not admin.site.is_registered(model)
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:django_q_{model._meta.model_name}_changelist")
    assert boss.get(f"/admin/django_q/{model._meta.model_name}/").status_code == 404
