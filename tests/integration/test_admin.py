"""What staff see and do, through the pages themselves."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success

from orders import keys
from orders.admin.deeds import DEEDS
from orders.models import (
    ChannelOpening,
    ChannelOrder,
    Heartbeat,
    HoldInvoice,
    IdempotencyKey,
    NodeSnapshot,
    OnchainPayment,
    OrderEvent,
    Service,
    WalletTransaction,
)
from orders.reconcile import beat
from orders.states import InvoiceState, OrderState
from tests.factories import DepositFactory, OpeningFactory, OrderFactory, ServiceFactory, SnapshotFactory

READ_ONLY = (
    ChannelOrder,
    HoldInvoice,
    OnchainPayment,
    ChannelOpening,
    WalletTransaction,
    OrderEvent,
    NodeSnapshot,
    Heartbeat,
    IdempotencyKey,
)
LIST = "/admin/orders/channelorder/"
STEER = "/admin/orders/channelorder/steer/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss() -> Client:
    """A browser in which the superuser alice is logged in."""
    return browser(User.objects.create_superuser("alice"))


@pytest.fixture
def reader() -> Client:
    """A browser of staff who may look at everything, and do nothing."""
    return browser(staff("rita", "view_channelorder", "view_orderevent", "view_holdinvoice"))


def staff(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(order: ChannelOrder) -> str:
    return f"{LIST}{order.pk}/change/"


def seen(answer: Any) -> str:
    """The page as a reader sees it."""
    assert answer.status_code == 200, answer
    text = re.sub(r"<(script|style).*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def listed(client: Client, **query: Any) -> set[str]:
    """The ids of the orders in the list."""
    return {str(order.pk) for order in client.get(LIST, query).context["cl"].result_list}


def do(client: Client, deed: str, *orders: ChannelOrder, **more: str) -> str:
    """What staff read after a deed, asked or done."""
    back = page_of(orders[0])
    answer = client.post(STEER, {"deed": deed, "order": [o.pk for o in orders], "back": back, **more}, follow=True)
    return seen(answer)


def journal(order: ChannelOrder) -> list[tuple[str, str]]:
    rows = OrderEvent.objects.filter(order=order).order_by("version")
    return list(rows.values_list("cause", "actor"))


def every_kind() -> list[ChannelOrder]:
    """An order in each state, and one of each surprise."""
    traits = ("paid_lightning", "paid_onchain", "uri_set", "opening", "open", "closing", "closed", "give_up")
    orders = [OrderFactory(**{trait: True}) for trait in (*traits, "refunded", "rejected", "expired")]
    orders += [OrderFactory(), OrderFactory(underpaid=True, overpaid=True, paid_late=True, needs_staff=True)]
    for order in orders:
        OrderEvent.objects.create(
            order=order, version=1, at=timezone.now(), actor="buyer", cause="created", to_state=order.state
        )
    return orders


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
    unusual = OrderFactory(**{surprise: True})
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
    "a part of the id": lambda order: str(order.pk)[9:23],
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
    with django_assert_max_num_queries(9) as few:
        seen(boss.get(LIST))
    for _ in range(2):
        every_kind()
    with django_assert_max_num_queries(len(few.captured_queries)):
        seen(boss.get(LIST))


def test_an_orders_page_asks_the_database_as_often_however_long_its_story(
    boss: Client, django_assert_max_num_queries: Any
) -> None:
    order = OrderFactory(open=True)
    with django_assert_max_num_queries(14) as few:
        seen(boss.get(page_of(order)))
    for number in range(5):
        OpeningFactory(order=order, failed=True)
        DepositFactory(order=order)
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
    IdempotencyKey.objects.create(key_hash="k" * 64, body_hash="b" * 64, created_at=timezone.now())
    IdempotencyKey.objects.create(key_hash="l" * 64, body_hash="b" * 64, created_at=timezone.now(), order=orders[0])
    for model in READ_ONLY:
        name = f"admin:orders_{model._meta.model_name}"
        assert boss.get(reverse(f"{name}_changelist"), {"q": "a b"}).status_code == 200
        seen(boss.get(reverse(f"{name}_changelist")))
        assert model.objects.exists()
        for row in model.objects.all():
            seen(boss.get(reverse(f"{name}_change", args=[row.pk])))


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
    order = OrderFactory(needs_staff=True, needs_staff_reason="Somebody has to look.")
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


# Nothing is edited


@pytest.mark.parametrize("model", READ_ONLY)
def test_not_even_a_superuser_adds_changes_or_deletes(boss: Client, model: Any) -> None:
    SnapshotFactory()
    beat("streams")
    order = OrderFactory(opening=True)
    DepositFactory(order=order)
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


# Deeds


def test_a_given_up_order_is_retried_from_the_list_in_the_persons_name(boss: Client) -> None:
    orders = [OrderFactory(give_up=True), OrderFactory(give_up=True)]
    answer = boss.post(LIST, {"action": "retry", "_selected_action": [o.pk for o in orders]}, follow=True)
    assert "Will be tried again: " in seen(answer)
    for order in orders:
        order.refresh_from_db()
        assert order.state == OrderState.URI_SET
        assert journal(order) == [("retried", "staff:alice")]


def test_a_refusal_is_told_and_stops_no_other(boss: Client) -> None:
    lost, fine, wrong = OrderFactory(give_up=True), OrderFactory(give_up=True), OrderFactory(open=True)
    HoldInvoice.objects.filter(order=lost).update(state=InvoiceState.CANCELLED)
    chosen = {"action": "retry", "_selected_action": [lost.pk, fine.pk, wrong.pk]}
    page = seen(boss.post(LIST, chosen, follow=True))
    assert f"Will be tried again: {str(fine.pk)[:8]}." in page
    assert f"Retry: not {str(lost.pk)[:8]}: The Lightning payment is not held any more." in page
    assert f"Retry: not {str(wrong.pk)[:8]}: The order is in state Open, not given up." in page


def test_a_defect_in_one_order_is_no_error_page(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("orders.operations.giving_up.retry", broken)
    page = do(boss, "retry", OrderFactory(give_up=True))
    assert "by a fault of the server" in page and "secret" not in page


def test_the_page_of_an_order_offers_what_fits_its_state(boss: Client) -> None:
    late = OrderFactory(expired=True, needs_staff=True)
    DepositFactory(order=late)
    offered = {
        "created": (OrderFactory(), ["cancel"]),
        "claimed": (OrderFactory(uri_set=True), ["give_up", "cancel"]),
        "given up": (OrderFactory(give_up=True), ["retry", "cancel"]),
        "opening": (OrderFactory(opening=True), []),
        "late": (late, ["revive", "settle_flag"]),
    }
    for name, (order, deeds) in offered.items():
        page = boss.get(page_of(order)).content.decode()
        assert re.findall(r'name="deed" value="(\w+)"', page) == deeds, name


def test_giving_up_is_asked_first_and_says_what_becomes_of_the_money(boss: Client) -> None:
    order = OrderFactory(uri_set=True, last_failure_reason="PEER_NOT_REACHABLE")
    page = do(boss, "give_up", order)
    order.refresh_from_db()
    assert order.state == OrderState.URI_SET
    assert f"{order.order_total_sat:,} sat stay held until" in page
    assert "Given up: " in do(boss, "give_up", order, sure="yes")
    order.refresh_from_db()
    assert (order.state, order.give_up_reason) == (OrderState.GIVE_UP, "PEER_NOT_REACHABLE")
    assert journal(order) == [("gave_up", "staff:alice")]


def test_cancelling_from_the_list_is_asked_first_for_each_order(boss: Client) -> None:
    held, onchain, over = OrderFactory(uri_set=True), OrderFactory(paid_onchain=True), OrderFactory(open=True)
    chosen = {"action": "cancel", "_selected_action": [held.pk, onchain.pk, over.pk]}
    answer = boss.post(f"{LIST}?o=-1", chosen)
    page = seen(answer)
    assert f"{held.order_total_sat:,} sat that the node holds go back to the buyer at once." in page
    assert f"{onchain.order_total_sat:,} sat stay with us and wait for a person to return them." in page
    assert f"{over.pk} is Open" in page
    assert not OrderEvent.objects.exists()
    form = dict(re.findall(r'name="(deed|back|sure)" value="([^"]*)"', answer.content.decode()))
    asked = re.findall(r'name="order" value="([^"]*)"', answer.content.decode())
    done = boss.post(STEER, {**form, "order": asked})
    assert set(asked) == {str(held.pk), str(onchain.pk)}
    assert done.url == f"{LIST}?o=-1"
    held.refresh_from_db(), onchain.refresh_from_db()
    assert HoldInvoice.objects.get(order=held).state == InvoiceState.RETURNING
    assert onchain.state == OrderState.REJECTED and onchain.needs_staff
    assert {actor for order in (held, onchain) for _, actor in journal(order)} == {"staff:alice"}


def test_a_late_payment_is_accepted_and_an_uncovered_one_is_not(boss: Client, settings: Any) -> None:
    late, short = OrderFactory(expired=True, paid_late=True), OrderFactory(expired=True, paid_late=True)
    DepositFactory(order=late, confirmations=6)
    DepositFactory(order=short, confirmations=6, amount_sat=5)
    page = do(boss, "revive", late, short)
    assert f"Paid after all: {str(late.pk)[:8]}." in page
    assert f"not {str(short.pk)[:8]}: No on-chain payment covers this order." in page
    late.refresh_from_db()
    assert (late.state, late.counted_payment) == (OrderState.PAID, "onchain")
    assert journal(late) == [("late_payment_accepted", "staff:alice")]


def test_a_flag_is_taken_down_and_the_journal_keeps_it(boss: Client) -> None:
    order = OrderFactory(needs_staff=True, needs_staff_reason="Look at this.")
    assert "Marked as seen: " in do(boss, "settle_flag", order)
    assert listed(boss, surprise="needs_staff") == set()
    event = OrderEvent.objects.get(order=order)
    assert (event.cause, event.actor, event.facts) == ("staff_have_looked", "staff:alice", {"reason": "Look at this."})


@pytest.mark.parametrize("deed", DEEDS)
def test_who_may_only_read_can_do_nothing(reader: Client, deed: str) -> None:
    order = OrderFactory(give_up=True, needs_staff=True)
    assert "Gave up" in seen(reader.get(page_of(order)))
    assert 'name="deed"' not in reader.get(page_of(order)).content.decode()
    assert reader.post(STEER, {"deed": deed, "order": order.pk, "sure": "yes"}).status_code == 403
    reader.post(LIST, {"action": deed, "_selected_action": order.pk})
    order.refresh_from_db()
    assert order.state == OrderState.GIVE_UP and order.needs_staff
    assert journal(order) == []


def test_who_may_change_orders_can_steer_them_and_still_edits_nothing() -> None:
    client = browser(staff("sam", "change_channelorder"))
    order = OrderFactory(give_up=True)
    do(client, "retry", order)
    assert journal(order) == [("retried", "staff:sam")]
    assert client.post(page_of(order), {"state": "open"}).status_code == 403


def test_strangers_are_sent_to_the_login() -> None:
    order = OrderFactory(give_up=True)
    for url in (LIST, STEER, page_of(order)):
        answer = Client().post(url, {"deed": "retry", "order": order.pk})
        assert answer.status_code == 302 and answer["Location"].startswith("/admin/login/")
    assert journal(order) == []


def test_a_deed_needs_the_token_of_its_form() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("alice"))
    order = OrderFactory(give_up=True)
    assert client.post(STEER, {"deed": "retry", "order": order.pk}).status_code == 403


@pytest.mark.parametrize(
    "form",
    [{}, {"deed": "delete"}, {"deed": "retry"}, {"deed": "retry", "order": "x"}, {"deed": "cancel", "order": "0" * 32}],
)
def test_a_form_that_makes_no_sense_does_nothing(boss: Client, form: dict[str, str]) -> None:
    order = OrderFactory(give_up=True)
    assert boss.post(STEER, form, follow=True).status_code == 200
    assert boss.get(STEER, form, follow=True).status_code == 200
    assert journal(order) == []


def test_a_deed_leads_back_to_our_own_pages_only(boss: Client) -> None:
    order = OrderFactory(give_up=True)
    answer = boss.post(STEER, {"deed": "retry", "order": order.pk, "back": "https://elsewhere.example/"})
    assert answer.url == LIST


# Services


def service_form(**changes: Any) -> dict[str, Any]:
    numbers = {
        "description": "Channels",
        "on_sale": "on",
        "position": 0,
        "min_channel_sat": 100_000,
        "max_channel_sat": 1_000_000,
        "max_client_balance_sat": 500_000,
        "min_weeks": 1,
        "max_weeks": 12,
        "accepts_lightning": "on",
        "base_fee_sat": 1_000,
        "rate_ppm_per_week": 500,
        "minimum_fee_sat": 2_000,
    }
    return {name: value for name, value in {**numbers, **changes}.items() if value is not None}


def test_a_service_is_added_and_changed(boss: Client) -> None:
    boss.post("/admin/orders/service/add/", service_form(description="Large"))
    service = Service.objects.get(description="Large")
    boss.post(f"/admin/orders/service/{service.pk}/change/", service_form(description="Larger", base_fee_sat=5))
    service.refresh_from_db()
    assert (service.description, service.base_fee_sat) == ("Larger", 5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"min_channel_sat": 2_000_000}, "not be less than the smallest channel (2,000,000)"),
        ({"min_weeks": 13}, "not be less than the fewest weeks (13)"),
        ({"accepts_lightning": None}, "Accept Lightning or on-chain payments, or both."),
        ({"minimum_fee_sat": 0}, "greater than or equal to 1"),
        ({"max_channel_sat": 10**30}, "less than or equal to"),
        ({"base_fee_sat": -1}, "greater than or equal to 0"),
        ({"min_weeks": "many"}, "Enter a whole number."),
    ],
)
def test_a_service_that_makes_no_sense_is_told_beside_its_field(
    boss: Client, changes: dict[str, Any], said: str
) -> None:
    before = Service.objects.count()
    page = seen(boss.post("/admin/orders/service/add/", service_form(**changes)))
    assert said in page and "is violated" not in page
    assert Service.objects.count() == before


def test_a_service_goes_only_while_no_order_has_it(boss: Client) -> None:
    used, unused = ServiceFactory(description="Used"), ServiceFactory(description="Unused")
    OrderFactory(service=used)
    assert "Delete" not in seen(boss.get(f"/admin/orders/service/{used.pk}/change/"))
    for service in (used, unused):
        boss.post(f"/admin/orders/service/{service.pk}/delete/", {"post": "yes"})
    boss.post("/admin/orders/service/", {"action": "delete_selected", "_selected_action": used.pk, "post": "yes"})
    assert set(Service.objects.filter(pk__in=[used.pk, unused.pk])) == {used}


# The first page


def test_the_first_page_says_what_can_be_sold(boss: Client) -> None:
    SnapshotFactory(alias="our node", spendable_sat=50_000_000, required_reserve_sat=10_000)
    OrderFactory(uri_set=True, lsp_balance_sat=1_000_000, client_balance_sat=0, open_fee_sat=2_000)
    page = seen(boss.get("/admin/"))
    assert "our node" in page and "not reached" not in page
    assert "48,988,000 to sell now" in page
    assert "1,002,000 promised" in page


def test_a_node_that_was_not_seen_for_long_is_an_alarm(boss: Client, settings: Any) -> None:
    long_ago = timezone.now() - timedelta(seconds=settings.SNAPSHOT_MAX_AGE_SECONDS + 60)
    SnapshotFactory(at=long_ago, synced_to_chain=False)
    page = seen(boss.get("/admin/"))
    assert "not reached" in page and "not synced" in page


def test_a_server_without_a_node_has_a_first_page_too(boss: Client) -> None:
    page = seen(boss.get("/admin/"))
    assert "never seen" in page and "has never reported" in page


def test_a_process_that_fell_silent_is_an_alarm(boss: Client, settings: Any) -> None:
    beat("reconcile"), beat("streams")
    silent = timezone.now() - timedelta(seconds=settings.HEARTBEAT_STALE_SECONDS + 1)
    Heartbeat.objects.filter(name="streams").update(at=silent)
    page = boss.get("/admin/").content.decode()
    assert re.findall(r"lsp-mark (lsp-\w+)\">(web|worker|streams)<", page) == [
        ("lsp-good", "web"),
        ("lsp-good", "worker"),
        ("lsp-alarm", "streams"),
    ]


def test_the_first_page_counts_what_waits_for_a_person(boss: Client) -> None:
    OrderFactory(needs_staff=True), OrderFactory(give_up=True)
    page = seen(boss.get("/admin/"))
    assert "1 need a person" in page and "1 given up" in page


def test_staff_who_may_not_see_orders_see_no_figures() -> None:
    client = browser(staff("eve"))
    SnapshotFactory()
    assert "to sell now" not in seen(client.get("/admin/"))
