"""Before the buyer pays: what is said of the node that he names, and what nobody can make us do by naming one."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from lightning import shared
from lightning.errors import NodeUnavailable, OutcomeUnknown, Rejected
from lightning.types import FundingRequest, Outpoint, Peer, PendingChannel, PendingPhase
from orders.models import ChannelOpening, ChannelOrder, DryRun, Service, Switch, SwitchName
from orders.openings import dry_runs, opening
from orders.preflight import looking
from tests.factories import OpeningFactory, OrderFactory, pubkey
from tests.fakes import FakeNode
from tests.integration.conftest import KEY, Api
from tests.scripted import ScriptedNode

HOST = "203.0.113.80:9735"
WUMBO = 17_000_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(looking, "PATIENCE_SECONDS", 0.2)
    settings.DIAL_PRIVATE_ADDRESSES = True  # no look-up of names in a test


def there(node: FakeNode, number: int = 7, *features: int) -> str:
    """A node that is connected; its key."""
    key = pubkey(number)
    node.connected_peers.append(Peer(key, HOST, inbound=True, features=frozenset(features)))
    return key


def codes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.said
    return [each["code"] for each in answer.said["warnings"]]


def serve(mode: str, **changes: Any) -> None:
    Service.objects.update(preflight=mode, **changes)


def refused(number: int, reason: str, **more: Any) -> None:
    """An attempt to open a channel to this node that it has refused."""
    order = OrderFactory(give_up=True, node_pubkey=pubkey(number), attempts=False)
    OpeningFactory(order=order, failed=True, failure_reason=reason, **{"announced": False, "push_sat": 0, **more})


class TestWarn:
    def test_a_new_service_warns(self, api: Api) -> None:
        assert Service.objects.get().preflight == "warn"

    def test_of_a_node_that_would_take_it_nothing_is_said(self, api: Api, node: FakeNode) -> None:
        assert codes(api.buy(node_uri=there(node))) == []

    def test_who_is_not_connected_and_names_no_address_is_told_so_before_he_pays(self, api: Api) -> None:
        [warning] = api.buy(node_uri=pubkey(7)).said["warnings"]
        assert (warning["code"], warning["field"], warning["works"]) == ("PEER_NOT_REACHABLE", "node_uri", None)
        assert warning["is_sure"] is False and "key@host:port" in warning["warning"]

    def test_naming_nodes_that_are_away_does_not_have_ours_list_its_peers_for_each(
        self, api: Api, node: FakeNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slept: list[float] = []
        monkeypatch.setattr(looking, "sleep", slept.append)
        monkeypatch.setattr(looking, "_PAUSE_SECONDS", 60.0)  # however slow this machine is
        monkeypatch.setattr(shared, "_SECONDS", 60.0)
        for number in range(7, 11):
            assert codes(api.buy(node_uri=pubkey(number))) == ["PEER_NOT_REACHABLE"]
        assert node.calls.count("peers") == 1 + len(slept)  # the first list was begun after he asked
        assert len(slept) == 3 and min(slept) > 0

    def test_who_has_just_come_is_seen_by_one_more_list(
        self, api: Api, node: FakeNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looking, "_PAUSE_SECONDS", 0.0)  # as a moment later
        monkeypatch.setattr(shared, "_SECONDS", 60.0)
        assert codes(api.buy(node_uri=pubkey(7))) == ["PEER_NOT_REACHABLE"]
        assert codes(api.buy(node_uri=there(node))) == []

    def test_the_number_that_would_work_is_in_v1s_own_field(self, api: Api, node: FakeNode) -> None:
        serve("warn", max_channel_sat=2 * WUMBO)
        node.spendable_sat = 10**9
        uri = there(node)
        [warning] = api.buy(node_uri=uri, local_balance=WUMBO, remote_balance=1_000_000).said["warnings"]
        assert (warning["field"], warning["works"]) == ("local_balance", 16_777_215 - 1_000_000)
        assert codes(api.buy(node_uri=uri, local_balance=warning["works"], remote_balance=1_000_000)) == []

    def test_private_is_the_other_way_round_of_announced(self, api: Api, node: FakeNode) -> None:
        refused(7, "CHANNEL_REJECTED", announced=True)
        uri = there(node)
        [warning] = api.buy(node_uri=uri, private=False).said["warnings"]
        assert (warning["code"], warning["field"], warning["works"]) == ("ANNOUNCEMENT_REJECTED", "private", True)
        assert codes(api.buy(node_uri=uri, private=True)) == codes(api.buy(node_uri=uri)) == []

    def test_no_name_of_ours_is_in_a_sentence(self, api: Api, node: FakeNode) -> None:
        refused(7, "CHAN_SIZE_TOO_SMALL", failure_detail="is below min chan size of 0.02 BTC")
        [warning] = api.buy(node_uri=there(node)).said["warnings"]
        assert "2000000" in warning["warning"] and "_" not in warning["warning"]

    def test_a_repeated_request_gets_the_same_warnings(self, api: Api, node: FakeNode) -> None:
        first = api.buy({"Idempotency-Key": KEY}, node_uri=pubkey(7))
        there(node)
        again = api.buy({"Idempotency-Key": KEY}, node_uri=pubkey(7))
        assert first.said == again.said and codes(again) == ["PEER_NOT_REACHABLE"]
        assert ChannelOrder.objects.get().warnings[0]["field"] == "node"

    def test_a_pending_channel_with_it_is_told_of(
        self, api: Api, node: FakeNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = there(node)
        row = PendingChannel(Outpoint("ab" * 32, 0), key, PendingPhase.OPENING, 10**6, 10**6, 0, True, "")
        monkeypatch.setattr(node, "pending_channels", lambda seconds: (row,))
        assert codes(api.buy(node_uri=key)) == ["PEER_TOO_MANY_PENDING_CHANNELS"]

    def test_where_our_node_does_not_tell_nothing_is_said_and_the_sale_goes_on(self, api: Api, node: FakeNode) -> None:
        node.fails_at["peers"] = NodeUnavailable("away")
        assert codes(api.buy(node_uri=pubkey(7))) == []

    def test_what_it_did_long_ago_says_nothing_any_more(self, api: Api, node: FakeNode) -> None:
        refused(7, "PEER_POLICY")
        uri = there(node)
        assert codes(api.buy(node_uri=uri)) == ["PEER_POLICY"]
        ChannelOpening.objects.update(created_at=timezone.now() - timedelta(days=31))
        assert codes(api.buy(node_uri=uri)) == []


class TestRefuse:
    def test_what_would_surely_fail_is_not_sold(self, api: Api, node: FakeNode) -> None:
        serve("refuse", max_channel_sat=2 * WUMBO)
        answer = api.buy(node_uri=there(node), local_balance=WUMBO, remote_balance=0)
        assert (answer.status_code, answer.said["code"], answer.said["field"]) == (
            409,
            "would_not_open",
            "local_balance",
        )
        assert "16777215" in answer.said["error"]
        assert not ChannelOrder.objects.exists() and not node.invoices

    def test_what_may_go_well_is_sold_with_a_warning(self, api: Api) -> None:
        serve("refuse")
        assert codes(api.buy(node_uri=pubkey(7))) == ["PEER_NOT_REACHABLE"]

    def test_who_was_dialled_in_vain_is_refused(self, api: Api, node: FakeNode) -> None:
        serve("refuse")
        answer = api.buy(node_uri=f"{pubkey(7)}@{HOST}")
        assert (answer.status_code, answer.said["field"]) == (409, "node_uri")

    def test_an_estimate_refuses_the_same_by_our_records(self, api: Api) -> None:
        serve("refuse")
        refused(7, "PEER_POLICY")
        body = {"local_balance": 1_000_000, "channel_expiry": 6, "node_uri": pubkey(7)}
        assert api.post("/channel/estimate", body).said["code"] == "would_not_open"


class TestOff:
    def test_nothing_is_asked_of_node_or_database(self, api: Api, node: FakeNode) -> None:
        serve("off")
        api.buy()

        def bought(**named: Any) -> tuple[list[str], int]:
            before = len(node.calls)
            with CaptureQueriesContext(connection) as seen:
                assert codes(api.buy(**named)) == []
            return node.calls[before:], len(seen)

        calls, statements = bought()
        named_calls, named_statements = bought(node_uri=f"{pubkey(7)}@{HOST}")
        assert named_calls == calls
        assert named_statements == statements + 2  # whether it is ours, and whom we do not serve

    @pytest.mark.parametrize("mode", ["warn", "refuse"])
    def test_nor_where_no_node_is_named(self, api: Api, node: FakeNode, mode: str) -> None:
        serve(mode)
        api.buy()
        before = len(node.calls)
        api.buy()
        assert sorted(node.calls[before:]) == ["add_hold_invoice", "new_address"]

    def test_the_database_takes_no_mode_that_nobody_knows(self, api: Api) -> None:
        with pytest.raises(Exception, match="service_preflight_known"):
            serve("maybe")


class TestNobodyUsesUsToDial:
    def test_a_node_that_answers_is_reached_while_the_buyer_waits(self, api: Api, node: FakeNode) -> None:
        node.answers.add(pubkey(7))
        assert codes(api.buy(node_uri=f"{pubkey(7)}@{HOST}")) == []
        assert node.dialled == [f"{pubkey(7)}@{HOST}"]

    def test_who_is_connected_is_not_dialled(self, api: Api, node: FakeNode) -> None:
        api.buy(node_uri=f"{there(node)}@{HOST}")
        assert not node.dialled

    def test_a_host_that_is_not_of_the_internet_is_refused_before(
        self, api: Api, node: FakeNode, settings: Any
    ) -> None:
        settings.DIAL_PRIVATE_ADDRESSES = False
        assert api.buy(node_uri=f"{pubkey(7)}@127.0.0.1:9735").status_code == 400
        assert not node.dialled

    def test_whom_we_share_a_channel_with_no_buyer_sends_elsewhere(
        self, api: Api, node: FakeNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node, "channels_with", lambda key, seconds: (object(),))
        api.buy(node_uri=f"{pubkey(7)}@{HOST}")
        assert not node.dialled

    def test_one_client_makes_us_dial_six_times_a_minute(self, api: Api, node: FakeNode, settings: Any) -> None:
        settings.UNPAID_ORDERS_PER_CLIENT = 100
        for number in range(9):
            assert codes(api.buy(node_uri=f"{pubkey(number)}@{HOST}")) == ["PEER_NOT_REACHABLE"] * (number < 6)
        assert len(node.dialled) == 6

    def test_many_clients_together_do_not_make_us_dial_one_node(self, api: Api, node: FakeNode) -> None:
        for number in range(9):
            api.client.defaults["REMOTE_ADDR"] = f"203.0.113.{100 + number}"
            api.buy(node_uri=f"{pubkey(7)}@{HOST}")
        assert len(node.dialled) == 3

    def test_all_together_are_bounded_too(self, api: Api, node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(looking, "DIALS", "4/min")
        for number in range(9):
            api.client.defaults["REMOTE_ADDR"] = f"203.0.113.{100 + number}"
            api.buy(node_uri=f"{pubkey(number)}@{HOST}")
        assert len(node.dialled) == 4

    def test_while_one_stranger_is_waited_for_nobody_else_is(self, api: Api, node: FakeNode) -> None:
        with looking._waiting:
            assert codes(api.buy(node_uri=f"{pubkey(7)}@{HOST}")) == []
        assert not node.dialled

    def test_an_estimate_dials_nobody(self, api: Api, node: FakeNode) -> None:
        body = {"local_balance": 1_000_000, "channel_expiry": 6, "node_uri": f"{pubkey(7)}@{HOST}"}
        assert codes(api.post("/channel/estimate", body)) == []
        assert not node.calls


class Negotiation:
    """What the peer answers."""

    def __init__(self, answer: Exception | None) -> None:
        self.answer = answer
        self.closed = threading.Event()

    def funding_request(self, *, timeout_seconds: float) -> FundingRequest:
        if self.answer is not None:
            raise self.answer
        return FundingRequest("bcrt1q", 1)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def asked(node: FakeNode, settings: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The peer is asked, what it answers is set, and what was asked and cancelled is kept."""
    settings.PREFLIGHT_DRY_RUN = True
    kept: dict[str, Any] = {"answer": None, "asked": [], "cancelled": [], "meanwhile": lambda: None}

    def open_channel(**channel: Any) -> Negotiation:
        kept["asked"].append(channel)
        kept["meanwhile"]()
        return Negotiation(kept["answer"])

    monkeypatch.setattr(node, "open_channel", open_channel, raising=False)
    monkeypatch.setattr(node, "cancel_shim", kept["cancelled"].append, raising=False)
    return kept


class TestDryRun:
    def test_off_by_default(self, api: Api, node: FakeNode, asked: dict[str, Any], settings: Any) -> None:
        settings.PREFLIGHT_DRY_RUN = False
        api.buy(node_uri=there(node))
        assert not asked["asked"] and not DryRun.objects.exists()

    def test_a_peer_that_would_take_it_is_asked_and_told_that_it_was_nothing(
        self, api: Api, node: FakeNode, asked: dict[str, Any]
    ) -> None:
        assert codes(api.buy(node_uri=there(node), private=True)) == []
        [channel] = asked["asked"]
        assert (channel["capacity_sat"], channel["push_sat"], channel["private"]) == (1_050_000, 50_000, True)
        assert channel["memo"] == ""  # no order's, for who looks for traces
        assert asked["cancelled"] == [channel["pending_chan_id"]]
        row = DryRun.objects.get()
        assert row.accepted and row.ended_at is not None
        assert not ChannelOpening.objects.exists()

    def test_what_only_the_peer_knows_is_told_before_he_pays(
        self, api: Api, node: FakeNode, asked: dict[str, Any]
    ) -> None:
        asked["answer"] = Rejected("err=chan size is below min chan size of 0.02 BTC", reason="CHAN_SIZE_TOO_SMALL")
        [warning] = api.buy(node_uri=there(node)).said["warnings"]
        assert (warning["code"], warning["works"], warning["is_sure"]) == (
            "CHAN_SIZE_TOO_SMALL",
            2_000_000 - 50_000,
            True,
        )
        assert len(asked["cancelled"]) == 1

    def test_the_same_is_not_asked_twice_in_an_hour_and_its_answer_is_kept(
        self, api: Api, node: FakeNode, asked: dict[str, Any]
    ) -> None:
        asked["answer"] = Rejected("err=Channel request rejected", reason="CHANNEL_REJECTED")
        uri = there(node)
        assert codes(api.buy(node_uri=uri, private=False)) == ["ANNOUNCEMENT_REJECTED"]
        asked["answer"] = None
        assert codes(api.buy(node_uri=uri, private=False)) == ["ANNOUNCEMENT_REJECTED"]
        assert len(asked["asked"]) == 1
        assert codes(api.buy(node_uri=uri, private=True)) == []  # another request
        DryRun.objects.update(begun_at=timezone.now() - timedelta(minutes=61))
        assert codes(api.buy(node_uri=uri, private=False)) == []
        assert len(asked["asked"]) == 3

    @pytest.mark.parametrize("trouble", [OutcomeUnknown("no answer in time"), NodeUnavailable("gone"),
                                         Rejected("user canceled funding", reason="FAILED_OPENING")])  # fmt: skip
    def test_a_peer_that_has_not_answered_has_said_nothing(
        self, api: Api, node: FakeNode, asked: dict[str, Any], trouble: Exception
    ) -> None:
        asked["answer"] = trouble
        assert codes(api.buy(node_uri=there(node))) == []
        assert DryRun.objects.get().accepted is None
        assert len(asked["cancelled"]) == 1

    def test_one_client_asks_thrice_a_minute(
        self, api: Api, node: FakeNode, asked: dict[str, Any], settings: Any
    ) -> None:
        settings.UNPAID_ORDERS_PER_CLIENT = 100
        uri = there(node)
        for weeks in range(5):
            api.buy(node_uri=uri, local_balance=1_000_000 + weeks)
        assert len(asked["asked"]) == 3

    def test_while_openings_are_paused_nobody_is_asked(self, api: Api, node: FakeNode, asked: dict[str, Any]) -> None:
        Switch.objects.create(name=SwitchName.OPENINGS, on=False, reason="behind", at=timezone.now())
        api.buy(node_uri=there(node))
        assert not asked["asked"]

    def test_a_peer_to_which_a_channel_is_being_opened_is_left_alone(
        self, api: Api, node: FakeNode, asked: dict[str, Any]
    ) -> None:
        OpeningFactory(order=OrderFactory(uri_set=True, node_pubkey=pubkey(7)), negotiating=True)
        api.buy(node_uri=there(node))
        assert not asked["asked"]

    def test_an_attempt_that_begins_meanwhile_is_seen_and_the_dry_run_ends_at_once(
        self, api: Api, node: FakeNode, asked: dict[str, Any]
    ) -> None:
        asked["meanwhile"] = lambda: OpeningFactory(
            order=OrderFactory(uri_set=True, node_pubkey=pubkey(7)), negotiating=True
        )
        asked["answer"] = AssertionError("the peer must not be waited for")
        assert codes(api.buy(node_uri=there(node))) == []
        assert len(asked["cancelled"]) == 1

    def test_a_real_attempt_ends_a_dry_run_with_its_peer_first(self, settings: Any, db: None) -> None:
        settings.PREFLIGHT_DRY_RUN = True
        node = ScriptedNode()
        DryRun.objects.create(
            node_pubkey=pubkey(7), capacity_sat=1, push_sat=0, announced=False, pending_chan_id=b"x" * 32,
            begun_at=timezone.now(),
        )  # fmt: skip
        order = OrderFactory(uri_set=True, node_pubkey=pubkey(7))
        attempt = OpeningFactory(order=order, negotiating=True)
        opening._run(attempt, node)
        assert node.calls.index("cancel_shim") < node.calls.index("open_channel")

    def test_without_the_setting_an_attempt_asks_nothing(self, db: None, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            dry_runs.give_way(pubkey(7), ScriptedNode())
            dry_runs.end_forgotten(ScriptedNode())

    def test_what_a_death_has_left_is_ended_by_who_finds_it(self, settings: Any, db: None) -> None:
        settings.PREFLIGHT_DRY_RUN = True
        node = ScriptedNode()
        for number, seconds in enumerate((30, 90)):
            DryRun.objects.create(
                node_pubkey=pubkey(number), capacity_sat=1, push_sat=0, announced=False, pending_chan_id=b"x" * 32,
                begun_at=timezone.now() - timedelta(seconds=seconds),
            )  # fmt: skip
        dry_runs.end_forgotten(node)
        assert node.calls == ["cancel_shim"]
        assert [row.ended_at is None for row in DryRun.objects.order_by("id")] == [True, False]
        assert not ChannelOpening.objects.exists()

    def test_where_the_node_did_not_hear_that_it_is_over_it_is_told_later(
        self, api: Api, node: FakeNode, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(chan_id: bytes) -> None:
            raise NodeUnavailable("away")

        monkeypatch.setattr(node, "cancel_shim", away)
        assert codes(api.buy(node_uri=there(node))) == []
        assert DryRun.objects.get().ended_at is None
