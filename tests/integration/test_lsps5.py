"""Webhooks of wallets, and what they are told, by the numbers of docs/conformance.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.types import Channel, Htlc, Outpoint
from orders import locks
from orders.models import WakeUp, WakeUpMethod, WakeUpOutcome, Webhook
from orders.openings import retrying
from orders.operations import closing
from orders.waking import posting, registering, sending, telling
from orders.waking.posting import NotDelivered
from tests.closing import ADA, HEIGHT, ClosingNode, sold
from tests.factories import OrderFactory, SnapshotFactory
from tests.fakes import FakeNode
from tests.integration.lsps2 import INVALID, NO_METHOD, NOT_NOW, OTHER, PEER, ask, code

TOO_LONG, NO_URL, PROTOCOL, TOO_MANY, NO_NAME = 500, 501, 502, 503, 1010
URL, ELSEWHERE = "https://push.example.org/a?l=1", "https://push.example.net/b"


@pytest.fixture(autouse=True)
def wakes(db: None, settings: Any) -> None:
    settings.LSPS5_ENABLED = True


def register(name: str = "wallet", url: str = URL, *, peer: str = PEER) -> dict[str, Any]:
    return ask("lsps5.set_webhook", {"app_name": name, "webhook": url}, peer=peer)


def told(peer: str = PEER) -> list[tuple[str, str]]:
    rows = WakeUp.objects.filter(webhook__node_pubkey=peer).order_by("pk")
    return [(row.method.removeprefix("lsps5."), row.webhook.app_name) for row in rows]


class Posts:
    """What was sent where; `fails`: nobody takes it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, dict[str, str]]] = []
        self.fails = ""

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        self.sent.append((url, body, headers))
        if self.fails:
            raise NotDelivered(self.fails)


class Signer(FakeNode):
    """Signs whatever it is asked to."""

    signed: ClassVar[list[bytes]] = []

    def sign(self, message: bytes) -> str:
        self._called("sign")
        self.signed.append(message)
        return "signature"


@pytest.fixture
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Posts]:
    found = Posts()
    monkeypatch.setattr(posting, "post", found)
    Signer.signed.clear()
    yield found


@pytest.fixture
def welcomed(posts: Posts) -> Posts:
    """Its webhook has heard that it is one."""
    register()
    send_all()
    posts.sent.clear()
    return posts


def send_all(after: timedelta = timedelta(), node: Signer | None = None) -> int:
    now = timezone.now() + after
    taken = sending.take(10, now)
    for each in taken:
        sending.send(each.pk, node or Signer(), now)
    return len(taken)


class TestWhetherItIsOn:
    def test_it_is_off_unless_somebody_turns_it_on(self, settings: Any) -> None:
        from lsp_site.declared import VARIABLES

        assert VARIABLES["LSPS5_ENABLED"].default == "off"
        assert 5 in ask("lsps0.list_protocols")["result"]["protocols"]
        settings.LSPS5_ENABLED = False
        assert 5 not in ask("lsps0.list_protocols")["result"]["protocols"]
        for method in ("set_webhook", "list_webhooks", "remove_webhook"):
            assert code(ask(f"lsps5.{method}")) == NO_METHOD

    def test_where_it_is_off_nobody_is_told_anything(self, settings: Any) -> None:
        register()
        settings.LSPS5_ENABLED = False
        assert telling.payment_incoming(PEER) == 0 and told() == [("webhook_registered", "wallet")]


class TestRegistering:
    def test_l5_01_a_name_has_64_bytes_at_most(self) -> None:
        assert "result" in register("é" * 32)
        assert code(register("é" * 32 + "x")) == TOO_LONG

    def test_l5_01_a_url_has_1024_characters_at_most(self) -> None:
        url = "https://push.example.org/"
        assert "result" in register(url=url + "x" * (1024 - len(url)))
        assert code(register(url=url + "x" * (1025 - len(url)))) == TOO_LONG

    @pytest.mark.parametrize(
        ("url", "wanted"),
        [
            ("push.example.org", NO_URL), ("https://pü.example.org/", NO_URL), ("http://push.example.org/", PROTOCOL),
            ("https://127.0.0.1/", NO_URL), ("https://localhost/", NO_URL),
        ],
    )  # fmt: skip
    def test_l5_02_what_is_no_url_of_https_is_refused(self, url: str, wanted: int) -> None:
        assert code(register(url=url)) == wanted and not Webhook.objects.exists()

    @pytest.mark.parametrize("params", [{}, {"app_name": "x"}, {"webhook": URL}, {"app_name": 1, "webhook": URL}])
    def test_what_is_missing_or_of_another_kind_is_named(self, params: dict[str, Any]) -> None:
        refused = ask("lsps5.set_webhook", params)["error"]
        assert refused["code"] == INVALID and refused["data"]["property"] in {"app_name", "webhook"}

    def test_l5_03_one_too_many_is_refused_and_one_of_the_same_name_replaced(self, settings: Any) -> None:
        settings.LSPS5_WEBHOOKS_PER_PEER = 2
        for name in ("one", "two"):
            register(name)
        refused = register("three")
        assert code(refused) == TOO_MANY and refused["error"]["data"]["max_webhooks"] == 2
        assert register("two", ELSEWHERE)["result"]["num_webhooks"] == 2
        assert "result" in register("three", peer=OTHER)

    def test_all_together_are_bounded_too(self, settings: Any) -> None:
        settings.LSPS5_WEBHOOKS = 1
        register()
        assert code(register(peer=OTHER)) == NOT_NOW
        assert "result" in register("wallet", ELSEWHERE)

    def test_a_peer_registers_so_often(self, settings: Any) -> None:
        settings.LSPS5_RATE = "2/h"
        answers = [register(url=f"{URL}{number}") for number in range(3)]
        assert ["result" in answer for answer in answers] == [True, True, False] and code(answers[2]) == NOT_NOW
        assert "result" in register(peer=OTHER)

    def test_l5_04_05_it_is_kept_before_the_answer_which_says_what_there_is(self) -> None:
        assert register()["result"] == {"num_webhooks": 1, "max_webhooks": 5, "no_change": False}
        assert Webhook.objects.get().url == URL
        assert register()["result"] == {"num_webhooks": 1, "max_webhooks": 5, "no_change": True}
        assert register(url=ELSEWHERE)["result"]["no_change"] is False
        assert register("other")["result"] == {"num_webhooks": 2, "max_webhooks": 5, "no_change": False}

    def test_l5_07_a_peer_lists_its_own(self) -> None:
        for name in ("b", "a"):
            register(name)
        assert ask("lsps5.list_webhooks")["result"] == {"app_names": ["b", "a"], "max_webhooks": 5}
        assert ask("lsps5.list_webhooks", peer=OTHER)["result"]["app_names"] == []

    def test_l5_08_and_takes_back_its_own_alone(self) -> None:
        register()
        assert code(ask("lsps5.remove_webhook", {"app_name": "wallet"}, peer=OTHER)) == NO_NAME
        assert ask("lsps5.remove_webhook", {"app_name": "wallet"})["result"] == {}
        assert not WakeUp.objects.exists()
        assert code(ask("lsps5.remove_webhook", {"app_name": "wallet"})) == NO_NAME

    @pytest.mark.django_db(transaction=True)
    def test_two_at_once_do_not_both_have_the_last_place(self, settings: Any, monkeypatch: Any) -> None:
        settings.LSPS5_WEBHOOKS_PER_PEER = 1
        held: list[Any] = []
        monkeypatch.setattr(locks, "hold", held.append)
        registering.register(PEER, "one", URL)
        assert held == [locks.Lock.WEBHOOKS]


class TestTelling:
    def test_l5_06_the_url_hears_that_it_is_registered_before_anything_else(self, posts: Posts) -> None:
        register()
        register("other", ELSEWHERE)
        telling.payment_incoming(PEER)
        assert send_all() == 2
        assert [url for url, *_ in posts.sent] == [URL, ELSEWHERE]
        assert all(b"webhook_registered" in body for _, body, _ in posts.sent)
        assert send_all() == 2 and all(b"payment_incoming" in body for _, body, _ in posts.sent[2:])

    def test_l5_06_and_nothing_where_nothing_has_changed(self, welcomed: Posts) -> None:
        register()
        assert send_all() == 0
        telling.payment_incoming(PEER)
        register(url=ELSEWHERE)
        send_all()
        assert [(url, b"registered" in body) for url, body, _ in welcomed.sent] == [(ELSEWHERE, True)]
        assert WakeUp.objects.filter(outcome=WakeUpOutcome.REPLACED).count() == 1

    def test_l5_10_12_all_webhooks_of_the_wallet_are_told_and_no_others(self) -> None:
        for name in ("one", "two"):
            register(name)
        register("theirs", peer=OTHER)
        assert telling.payment_incoming(PEER) == 2
        assert told()[2:] == [("payment_incoming", "one"), ("payment_incoming", "two")]
        assert told(OTHER) == [("webhook_registered", "theirs")]

    def test_l5_11_who_is_there_is_not_told(self, welcomed: Posts) -> None:
        telling.payment_incoming(PEER)
        [taken] = sending.take(10)
        assert taken.only_while_away and taken.pubkey == PEER
        sending.there(taken.pk)
        assert send_all(timedelta(hours=1)) == 0 and not welcomed.sent
        assert telling.payment_incoming(PEER) == 1  # it may have gone since

    def test_l5_11_that_it_is_registered_is_told_who_is_there_too(self, posts: Posts) -> None:
        register()
        assert [each.only_while_away for each in sending.take(10)] == [False]

    def test_l5_21_the_same_is_told_once_within_its_time(self, settings: Any) -> None:
        settings.LSPS5_COOLDOWN_SECONDS = 120
        register()
        assert [telling.payment_incoming(PEER) for _ in range(3)] == [1, 0, 0]
        assert telling.liquidity_wanted(PEER) == 1
        WakeUp.objects.update(created_at=timezone.now() - timedelta(seconds=119))
        assert telling.payment_incoming(PEER) == 0
        WakeUp.objects.update(created_at=timezone.now() - timedelta(seconds=121))
        assert telling.payment_incoming(PEER) == 1

    def test_l5_21_and_again_once_the_wallet_was_there_meanwhile(self) -> None:
        register()
        telling.payment_incoming(PEER)
        assert telling.came(PEER) == 1 and telling.came(OTHER) == 0
        assert list(WakeUp.objects.values_list("outcome", flat=True)) == ["", WakeUpOutcome.THERE]
        assert telling.payment_incoming(PEER) == 1


def channel(**changes: Any) -> Channel:
    base = Channel(
        outpoint=Outpoint("ab" * 32, 0), peer_pubkey=PEER, short_channel_id=1, capacity_sat=1, local_balance_sat=1,
        remote_balance_sat=0, push_sat=0, active=False, private=True, initiated_by_us=True, memo="",
    )  # fmt: skip
    return replace(base, **changes)


def htlc(expiry_height: int, *, incoming: bool = False) -> Htlc:
    return Htlc(incoming, 1, "ab" * 32, expiry_height, 0, 0, 0, True)


class TestLooking:
    @pytest.mark.parametrize(
        ("what", "timeout"),
        [
            (htlc(124), 124), (htlc(125), None), (htlc(134, incoming=True), 124), (htlc(135, incoming=True), None),
        ],
    )  # fmt: skip
    def test_l5_13_who_lets_a_part_run_out_hears_of_it_24_blocks_before(self, what: Htlc, timeout: int | None) -> None:
        register()
        telling.look([channel(htlcs=(htlc(900), what))], 100)
        heights = list(WakeUp.objects.filter(method=WakeUpMethod.EXPIRY).values_list("timeout_height", flat=True))
        assert heights == ([] if timeout is None else [timeout])

    def test_l5_13_who_is_there_does_not(self) -> None:
        register()
        telling.look([channel(htlcs=(htlc(101),), active=True)], 100)
        assert told() == [("webhook_registered", "wallet")]

    def test_l5_09_while_there_is_a_channel_its_webhooks_are_kept(self) -> None:
        register()
        register(peer=OTHER)
        long_ago = timezone.now() - timedelta(days=30)
        Webhook.objects.update(needed_at=long_ago, looked_at=long_ago)
        telling.look([channel()], 100)
        rows = {row.node_pubkey: row for row in Webhook.objects.all()}
        assert rows[PEER].needed_at > long_ago and rows[OTHER].needed_at == long_ago
        assert all(row.looked_at > long_ago for row in rows.values())

    def test_l5_09_nobody_sets_less_than_seven_days(self) -> None:
        from lsp_site.declared import VARIABLES

        with pytest.raises(ValueError):
            VARIABLES["LSPS5_KEPT_SECONDS"].parse(str(7 * 86_400 - 1))


class TestSending:
    def test_l5_16_17_the_body_is_what_was_signed_by_our_node(self, posts: Posts) -> None:
        register()
        send_all()
        [(url, body, headers)] = posts.sent
        assert url == URL and body == b'{"jsonrpc":"2.0","method":"lsps5.webhook_registered","params":{}}'
        assert headers["x-lsps5-signature"] == "signature" and set(headers) == {
            "x-lsps5-timestamp",
            "x-lsps5-signature",
        }
        wanted = f"LSPS5: DO NOT SIGN THIS MESSAGE MANUALLY: LSP: At {headers['x-lsps5-timestamp']} I notify "
        assert Signer.signed == [wanted.encode() + body]

    def test_what_nobody_takes_is_tried_again_later_each_time_and_given_up(self, welcomed: Posts) -> None:
        welcomed.fails = "HTTP 503"
        telling.payment_incoming(PEER)
        assert send_all() == 1 and send_all() == 0
        assert send_all(timedelta(seconds=3)) == 1 and send_all(timedelta(seconds=5)) == 0
        assert send_all(timedelta(minutes=11)) == 1
        row = WakeUp.objects.latest("pk")
        assert (row.outcome, row.failures, row.last_failure) == (WakeUpOutcome.GIVEN_UP, 3, "HTTP 503")
        assert send_all(timedelta(days=1)) == 0

    def test_l5_18_200_is_the_end_of_it(self, welcomed: Posts) -> None:
        telling.payment_incoming(PEER)
        assert send_all() == 1 and send_all(timedelta(hours=1)) == 0 and len(welcomed.sent) == 1

    def test_while_our_node_does_not_sign_it_waits(self, welcomed: Posts) -> None:
        telling.payment_incoming(PEER)
        node = Signer()
        node.fails_at["sign"] = NodeUnavailable("away")
        send_all(node=node)
        assert not welcomed.sent and send_all(timedelta(seconds=3)) == 1 and len(welcomed.sent) == 1

    def test_who_takes_one_has_it_alone_and_who_dies_with_it_loses_nothing(self, welcomed: Posts) -> None:
        telling.payment_incoming(PEER)
        assert len(sending.take(10)) == 1 and sending.take(10) == []
        assert len(sending.take(10, timezone.now() + timedelta(seconds=61))) == 1

    def test_what_payments_wait_for_goes_before_what_strangers_register(self, welcomed: Posts) -> None:
        for number in range(3):
            register(f"n{number}", peer=OTHER)
        telling.payment_incoming(PEER)
        assert [each.pubkey for each in sending.take(1)] == [PEER]
        assert sending.take(9, only_urgent=True) == [] and len(sending.take(9)) == 3

    def test_no_secret_of_its_url_is_in_the_log(self, posts: Posts, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        posts.fails = "no connection"
        register(url="https://push.example.org/secret")
        send_all()
        assert "no connection" in caplog.text and "secret" not in caplog.text


def test_who_has_bought_and_is_away_is_told_when_that_is_found_and_not_at_each_try() -> None:
    order = OrderFactory(uri_set=True, node_pubkey=PEER)
    register()
    for reason in ("FEE_TOO_HIGH", "PEER_NOT_REACHABLE", "PEER_NOT_REACHABLE"):
        retrying.postpone(order.pk, reason, "")
        WakeUp.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert told()[1:] == [("payment_incoming", "wallet")]


@pytest.fixture
def node() -> ClosingNode:
    SnapshotFactory(block_height=HEIGHT)
    return ClosingNode()


def test_l5_14_whose_channel_is_to_be_closed_with_it_hears_of_that(node: ClosingNode) -> None:
    over = sold(node)
    register(peer=over.node_pubkey)
    closing.close(over.pk, reason="Its lease is over.", actor=ADA)
    assert told(over.node_pubkey)[1:] == [("liquidity_management_request", "wallet")]
