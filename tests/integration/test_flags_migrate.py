"""A shop that runs is carried over: what it said in sentences is said by kinds, and nobody is told twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from orders import queries
from orders.causes import FlagKind
from orders.models import Alert, ChannelOrder, Flag, Switch, SwitchEvent, SwitchName
from orders.operations import pausing
from watch import alerting

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = "0010_schedule_of_alerts"
found = import_module("orders.migrations.0012_flags_and_causes_are_found")


@pytest.fixture
def earlier() -> Iterator[Any]:
    """The models of before, and tables that are as they say."""
    executor = MigrationExecutor(connection)
    executor.migrate([("orders", BEFORE)])
    try:
        yield executor.loader.project_state([("orders", BEFORE)]).apps
    finally:
        upgrade()


def upgrade() -> None:
    """The tables are those of this code."""
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())  # of all rooms: what depends on these went back with them


SAID = "The node has not enough deep coins for this channel."


def test_every_flagged_order_keeps_its_words_and_gets_a_kind(
    earlier: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    orders, events, alerts = (
        earlier.get_model("orders", name).objects for name in ("ChannelOrder", "OrderEvent", "Alert")
    )
    ids = {name: add(earlier) for name in ("short", "strange", "unflagged")}
    orders.filter(pk=ids["short"]).update(needs_staff=True, needs_staff_reason=SAID)
    orders.filter(pk=ids["strange"]).update(needs_staff=True, needs_staff_reason="Who knows.")
    long_ago = timezone.now() - timedelta(days=3)
    for number, (cause, actor) in enumerate([("needs_staff", "lsp"), ("needs_staff", "staff:ada"), ("x", "buyer")]):
        events.create(
            order_id=ids["short"], version=number + 1, at=long_ago + timedelta(hours=number), actor=actor,
            cause=cause, to_state="created",
        )  # fmt: skip
    for key in (f"order:{ids['short']}:{SAID}", f"order:{ids['unflagged']}:It was.", "check:offer"):
        alerts.create(key=key[:255], message="m", since=long_ago, sent_at=long_ago)

    upgrade()
    short, strange = Flag.objects.order_by("kind")
    assert (short.kind, short.words, short.raised_by) == (FlagKind.COINS_SHORT, SAID, "staff:ada")
    assert short.raised_at == long_ago + timedelta(hours=1)
    assert (strange.kind, strange.words, strange.raised_by) == (FlagKind.OTHER, "Who knows.", "lsp")
    counts = dict(ChannelOrder.objects.values_list("pk", "standing_flags"))
    assert counts == {ids["short"]: 1, ids["strange"]: 1, ids["unflagged"]: 0}
    assert [flag.kind for flag in queries.order_or_raise(ids["short"]).standing] == ["coins_short"]
    still = set(Alert.objects.filter(cleared_at=None).values_list("key", flat=True))
    assert still == {f"flag:{short.pk}", "check:offer"}
    settings.ALERT_URL = ("json://127.0.0.1:9/",)
    told: list[str] = []
    monkeypatch.setattr("watch.channels.deliver", lambda channel, title, body: told.append(body) or True)
    alerting.record([], alerting._flagged(), timezone.now())
    assert alerting._tell() == 1  # the other alone: of this one somebody was told before
    assert len(told) == 1 and "Who knows." in told[0] and SAID not in told[0]


def test_a_pause_that_was_made_because_our_records_were_behind_still_is_one(earlier: Any) -> None:
    reason = "Our records are being checked after a restart (channel 1a2b3c4d, held payment 5e6f7a8b)"
    now = timezone.now()
    for model in ("Switch", "SwitchEvent"):
        rows = earlier.get_model("orders", model).objects
        rows.create(name="openings", on=False, reason=reason, at=now, actor="lsp")
        rows.create(name="sales", on=False, reason="we move", at=now, actor="staff:ada")
    upgrade()
    assert pausing.is_behind()
    assert dict(Switch.objects.values_list("name", "cause")) == {"openings": "behind", "sales": "staff"}
    named = {event.name: event.named for event in SwitchEvent.objects.all()}
    assert named == {"openings": ["channel 1a2b3c4d", "held payment 5e6f7a8b"], "sales": []}
    assert queries.paused(SwitchName.OPENINGS).reason == reason  # type: ignore[union-attr]


def test_every_sentence_of_before_is_found_and_every_kind_is_one_of_ours() -> None:
    kinds = [kind for _, kind in found._KINDS]
    newer = {
        FlagKind.OTHER,
        FlagKind.CONFLICT_OVER_BUDGET,
        FlagKind.ZERO_CONF_UNFUNDED,
        FlagKind.REFUND_NEEDED,
        FlagKind.REFUND_STUCK,
        FlagKind.REFUND_BARRED,
        FlagKind.CLOSED_EARLY,
        FlagKind.CLOSE_STUCK,
        FlagKind.ROUTING_FEE_HIGH,
        FlagKind.PAYER_UNKNOWN,
    }
    assert set(kinds) == set(FlagKind) - newer and len(kinds) == len(set(kinds))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("The node refuses the funding transaction: fee_too_low.", "publishing_refused"),
        ("Gave up (PEER_NOT_REACHABLE) with the buyer's money: retry, or return it.", "gave_up"),
        ("Paid and never claimed.", "never_claimed"),
        ("Deposits are 500 sat more than was owed.", "deposits_surplus"),
        ("The node has a channel or funding of this order that cannot be adopted.", "not_adoptable"),
        ("The node has a channel or funding of this order that our records do not know.", "trace_unknown"),
        ("An attempt to open stays funded, unsigned: OutcomeUnknown.", "attempt_stuck"),
        ("", "other"),
    ],
)
def test_the_kind_of_a_sentence(words: str, kind: str) -> None:
    assert found.kind_of(words) == kind


def add(apps: Any) -> Any:
    """An order, as the models of then have it."""
    nodes, orders, services = (apps.get_model("orders", name).objects for name in ("Node", "ChannelOrder", "Service"))
    node, _ = nodes.get_or_create(pubkey="02" * 33, defaults={"first_seen_at": timezone.now()})
    amounts = dict.fromkeys(
        ["client_balance_sat", "base_fee_sat", "lease_fee_sat", "open_fee_sat", "close_fee_sat", "floor_fee_sat"], 0
    )
    order = orders.create(
        created_at=timezone.now(), created_height=1, lsp_node=node, service=services.create(), lsp_balance_sat=1,
        weeks=1, fee_total_sat=0, order_total_sat=0, quoted_sat_per_kw=1, expires_at=timezone.now(), **amounts,
    )  # fmt: skip
    return order.pk
