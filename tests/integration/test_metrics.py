"""`/metrics`: who may read it, that it says what the figures say, and that nothing in it grows or tells a secret."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from orders import figures
from orders.causes import Cause, FlagKind
from orders.figures.asking import REASONS
from orders.figures.wallet import REFUNDS
from orders.models import (
    Alert,
    ChannelOpening,
    ChannelOrder,
    Flag,
    Heartbeat,
    NodeSnapshot,
    Refund,
    Reservation,
    Switch,
)
from orders.states import SENT_REFUNDS, Firmness, OpeningState, OrderState, RefundState
from tests.bench import rows
from tests.bench.statements import Statement, noted
from tests.factories import FlagFactory, OpeningFactory, OrderFactory, pubkey
from tests.integration.conftest import ADDRESS
from tests.integration.history import LIVES, happen
from tests.refunding import RefundFactory
from watch.metrics import collector

pytestmark = pytest.mark.django_db

TOKEN = "Vq2f0Zr8-only-for-this-test"
#: What each label may say. Of the others (`version`, `network`, `le`) there is one value, or a fixed list.
NEEDS = {
    "openings_failing",
    "refunds_without_address",
    "refunds_proposed",
    "leases_ending",
    "leases_over",
    "books_wrong",
    "coins_low",
}
ALLOWED = {
    "state": {*OrderState, "waiting", "running", *REFUNDS},
    "kind": {*FlagKind, "deep", "leased", "young", "nested", "foreign"},
    "reason": {*REASONS, ""},
    "why": {*REASONS, *Cause, "unknown"},
    "outcome": {"confirmed", "failed"},
    "step": {"quoted", "paid", "claimed", "open"},
    "after": {"quoted", "paid", "claimed"},
    "firmness": {*Firmness},
    "what": {"sold", "total", "promised", "free", "available", *NEEDS},
    "side": {"local", "remote"},
    "at_least_sat": {str(least) for least in figures.SIZES_SAT},
    "part": {"sale", "routing", "open", "bump", "close", "refund", "losses", "capital"},
    "name": {"sales", "openings", "closings", "reconcile", "streams", "looks"},
}


@pytest.fixture(autouse=True)
def looked_up_anew(settings: Any) -> Iterator[None]:
    settings.METRICS_TOKEN = TOKEN
    collector.forget()
    yield
    collector.forget()


def scraped(authorization: str | None = f"Bearer {TOKEN}") -> HttpResponse:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer: HttpResponse = Client(REMOTE_ADDR=ADDRESS).get("/metrics", headers=headers)  # type: ignore[assignment]
    return answer


def samples() -> list[Sample]:
    """Those of a scrape that looks anew."""
    collector.forget()
    answer = scraped()
    assert answer.status_code == 200, answer.content
    families = list(text_string_to_metric_families(answer.content.decode()))
    assert len({family.name for family in families}) == len(families)
    return [sample for family in families for sample in family.samples]


def value(found: list[Sample], name: str, /, **labels: str) -> float | None:
    values = [sample.value for sample in found if sample.name == f"lsp_{name}" and sample.labels == labels]
    assert len(values) < 2
    return values[0] if values else None


# Who may read it


def test_without_a_token_there_is_no_such_address(settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    answers = [scraped(), scraped("Bearer "), Client().get("/no-such-address")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert answers[0].content == answers[2].content


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer another-token-of-such-a-length",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN} {TOKEN}",
        "Bearer \xff\u00fc\ud800",
        f"Bearer {'x' * 20_000}",
    ],
)
def test_who_has_not_the_token_is_told_that_one_is_needed_and_nothing_else(
    authorization: str | None, snapshot: NodeSnapshot
) -> None:
    answer = scraped(authorization)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="metrics"'
    assert TOKEN.encode() not in answer.content and b"lsp_" not in answer.content


def test_the_scheme_is_read_in_any_case() -> None:
    assert scraped(f"bearer {TOKEN}").status_code == scraped(f"BEARER  {TOKEN}").status_code == 200


def test_guesses_and_scrapes_are_counted_as_reads(settings: Any) -> None:
    settings.READ_RATE = "3/hour"
    codes = [scraped(each).status_code for each in (None, "Bearer guess", f"Bearer {TOKEN}", f"Bearer {TOKEN}")]
    assert codes == [401, 401, 200, 429]
    assert 3500 < int(scraped()["Retry-After"]) <= 3600


def test_it_is_read_and_nothing_else() -> None:
    assert Client().post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405


def test_no_browser_keeps_it() -> None:
    answer = scraped()
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


# What it says


def test_no_state_of_anything_is_left_out(snapshot: NodeSnapshot) -> None:
    """Whatever is somewhere is counted somewhere: a state that a family forgets is money that nobody sees."""
    for state in RefundState:
        sent = {"published": True} if state in SENT_REFUNDS else {}
        RefundFactory(**sent, state=state, cause="closed_unused")
    for opening in set(OpeningState) - {OpeningState.NEGOTIATING}:
        OpeningFactory(state=opening, zero_conf=opening in {OpeningState.COMMITTED, OpeningState.CARRYING})
    OpeningFactory(negotiating=True)
    for order_state in OrderState:
        OrderFactory(state=order_state, counted_payment="onchain", node_pubkey=pubkey(7), attempts=False)
    for firmness in Firmness:
        Reservation.objects.filter(order=OrderFactory().pk).update(firmness=firmness)
    order = OrderFactory(open=True)
    for kind in FlagKind:
        FlagFactory(order=order, kind=kind)
    found = samples()

    def total(name: str) -> float:
        return sum(sample.value for sample in found if sample.name == f"lsp_{name}")

    assert total("refunds") == Refund.objects.count() == len(RefundState)
    assert total("orders") == ChannelOrder.objects.count()
    assert total("openings_total") + total("openings_under_way") == ChannelOpening.objects.count()
    assert total("reservations") == Reservation.objects.filter(released_at=None).count()
    assert total("flags") == Flag.objects.filter(lowered_at=None).count() >= len(FlagKind)
    assert value(found, "refunds", state="proposed") == 1


def test_it_says_what_the_figures_say(snapshot: NodeSnapshot) -> None:
    now = happen(7, 3 * len(LIVES))
    for trait in ("paid_lightning", "expired", "open"):
        OrderFactory(**{trait: True})
    found = samples()
    for each in figures.by_state():
        assert value(found, "orders", state=each.state) == each.orders
        assert value(found, "orders_capacity_sat", state=each.state) == each.capacity_sat
    for oldest in figures.oldest(now):
        told = value(found, "oldest_order_seconds", state=oldest.state)
        assert told is not None and oldest.age_seconds <= told < oldest.age_seconds + 60
    assert [value(found, "day_orders", step=step) for step in figures.Step] == [3, 2, 1, 1]
    assert value(found, "day_orders_lost", after="quoted", why="unknown") == 1
    for flag in figures.flags():
        assert value(found, "flags", kind=flag.kind) == flag.flags
    for refund in figures.refunds():
        assert value(found, "refunds", state=refund.stands) == refund.refunds
        assert value(found, "refunds_sat", state=refund.stands) == refund.amount_sat


def test_it_says_of_openings_what_the_figures_say(snapshot: NodeSnapshot) -> None:
    happen(8, 3 * len(LIVES))
    found, ever = samples(), figures.openings()
    assert value(found, "openings_total", outcome="confirmed", reason="") == ever.confirmed > 0
    for reason, number in ever.failures:
        assert value(found, "openings_total", outcome="failed", reason=reason) == number
    assert value(found, "openings_under_way") == ever.under_way
    histogram, earned = figures.histogram(), figures.earned()
    for bound, orders in histogram.buckets:
        le = "+Inf" if bound is None else f"{bound}"
        assert value(found, "payment_to_usable_seconds_bucket", le=le) == orders
    assert value(found, "payment_to_usable_seconds_count") == histogram.orders > 0
    assert value(found, "payment_to_usable_seconds_sum") == histogram.sum_seconds
    assert value(found, "fees_earned_sat_total") == earned.fees_sat
    assert value(found, "channels_opened_total") == earned.channels
    assert value(found, "channels_opened_sat_total") == earned.capacity_sat


def test_it_says_of_the_wallet_what_the_figures_say(snapshot: NodeSnapshot) -> None:
    NodeSnapshot.objects.update(
        coin_sizes=[90_000_000, 10_000_000], coins_aside={"leased": [3, 4_000]}, look_seconds=0.25
    )
    OrderFactory(paid_lightning=True)
    snapshot.refresh_from_db()
    found, capacity, coins = samples(), figures.capacity(snapshot), figures.coins(snapshot)
    for name in ("sold", "total", "promised", "free", "available"):
        assert value(found, "capacity_sat", what=name) == getattr(capacity, f"{name}_sat")
    for each in capacity.reserved:
        assert value(found, "reserved_sat", firmness=each.firmness) == each.value_sat
        assert value(found, "reservations", firmness=each.firmness) == each.orders
    assert (value(found, "coins", kind="deep"), value(found, "coins_sat", kind="deep")) == (2, 100_000_000)
    assert (value(found, "coins", kind="leased"), value(found, "coins_sat", kind="leased")) == (3, 4_000)
    for least, size in coins.by_size:
        assert value(found, "deep_coins", at_least_sat=str(least)) == size.coins
        assert value(found, "deep_coins_sat", at_least_sat=str(least)) == size.sat
    assert value(found, "node_look_seconds") == 0.25
    assert value(found, "node_block_height") == snapshot.block_height
    assert (value(found, "node_synced"), value(found, "node_known")) == (1, 1)


def test_it_says_what_needs_a_person_and_who_is_silent() -> None:
    now = timezone.now()
    Heartbeat.objects.create(name="streams", at=now - timedelta(seconds=500), detail="order 1234 is stuck")
    Switch.objects.create(name="sales", on=False, reason="moving", at=now, actor="alice")
    Alert.objects.create(key="check:disk", message="full", since=now)
    OrmQ.objects.create(key="lsp", payload="", lock=now - timedelta(seconds=70))
    found = samples()
    assert value(found, "heartbeat_stale", name="streams") == 1
    assert 500 <= (value(found, "heartbeat_age_seconds", name="streams") or 0) < 560
    assert (value(found, "switch_on", name="sales"), value(found, "switch_on", name="openings")) == (0, 1)
    assert value(found, "alerts_standing") == 1
    assert value(found, "queue_tasks", state="waiting") == 1
    assert 70 <= (value(found, "queue_oldest_seconds") or 0) < 130
    assert 0 < (value(found, "database_seconds") or 0) < 5


# What goes wrong


def test_a_node_that_was_never_seen_is_said_to_be_unknown_and_the_rest_is_told() -> None:
    OrderFactory(paid_lightning=True)
    found = samples()
    assert value(found, "node_known") == 0 and value(found, "orders", state="paid") == 1
    assert value(found, "capacity_sat", what="sold") == 0
    assert value(found, "capacity_sat", what="free") is None and value(found, "coins", kind="deep") is None


def test_a_snapshot_of_an_older_version_is_told_as_far_as_it_goes(snapshot: NodeSnapshot) -> None:
    NodeSnapshot.objects.update(coin_sizes=None, look_seconds=None, synced_at=None, coins_aside={})
    found = samples()
    assert value(found, "node_look_seconds") is None
    assert value(found, "coins_sat", kind="deep") == snapshot.spendable_sat


def test_a_database_that_does_not_answer_is_no_defect_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr("watch.metrics.collector.queries.snapshot", away)
    monkeypatch.setattr("lsp_site.metrics.connection.close", lambda: None)  # it is the test's own
    answer = scraped()
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")


def test_a_scrape_that_failed_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        test_a_database_that_does_not_answer_is_no_defect_of_ours(broken)
    assert scraped().status_code == 200


def test_who_comes_while_another_looks_for_long_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that hangs would have every thread of the process otherwise."""
    monkeypatch.setattr(collector, "_WAIT_SECONDS", 0.01)
    with collector._kept.asking:
        assert scraped().status_code == 503
    assert scraped().status_code == 200


def test_labels_are_from_lists_whatever_the_rows_say(snapshot: NodeSnapshot) -> None:
    """And no order, node or secret is in any of it."""
    happen(9, 2 * len(LIVES))
    order = OrderFactory(give_up=True, give_up_reason=f"of order {'x' * 20}", last_failure_reason="strange")
    OpeningFactory(order=order, failed=True, failure_reason=f"order {order.pk}", failure_detail="macaroon 0201")
    FlagFactory(kind=str(order.pk)[:32], words=f"Order {order.pk}")
    for name in ("reconcile", "streams", "looks"):
        Heartbeat.objects.create(name=name, at=timezone.now(), detail=str(order.pk))
    version = '0.20"}7\nlsp_evil{a="b"} 1'
    NodeSnapshot.objects.update(version=version, alias=str(order.pk), coins_aside={str(order.pk): [1, 2]})
    found = samples()
    for sample in found:
        strange = {name: said for name, said in sample.labels.items() if said not in ALLOWED.get(name, {said})}
        assert strange == {}, sample
    assert {label for sample in found for label in sample.labels} == {*ALLOWED, "version", "network", "le"}
    assert [sample for sample in found if sample.name == "lsp_evil"] == []
    text = scraped().content.decode()
    for each in ChannelOrder.objects.all():
        assert str(each.pk)[:8] not in text and (not each.node_pubkey or each.node_pubkey not in text)
    assert TOKEN not in text and "macaroon" not in text


# What it costs


def statements() -> int:
    collector.forget()
    seen = list[Statement]()
    with noted(seen):
        assert scraped().status_code == 200
    return len(seen)


def test_a_scrape_of_thousands_of_orders_takes_as_many_statements_as_of_none(snapshot: NodeSnapshot) -> None:
    before = statements()
    for trait in ("paid_lightning", "uri_set", "opening", "open", "give_up"):
        OrderFactory(**{trait: True})
    rows.fill(3_000)
    assert statements() == before <= 30


def test_whoever_scrapes_again_within_seconds_costs_the_database_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, seen = scraped().content, list[Statement]()
    OrderFactory()
    with noted(seen):
        assert scraped().content == first
    assert len([each for each in seen if "orders_requestcount" not in each.sql]) == 0
    monkeypatch.setattr(collector.time, "monotonic", lambda: collector._kept.until)
    assert scraped().content != first
