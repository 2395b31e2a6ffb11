"""Peers' messages in the streams process: each is answered, and nobody waits for another."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import uuid4

import pytest

from lightning.errors import NodeUnavailable
from lightning.types import CustomMessage
from lsps.bolt8 import answering, limits, methods
from lsps.bolt8.codec import Call
from lsps.bolt8.limits import AT_ONCE, BURST, FLOOD
from orders.models import Service
from streams import desk
from tests.factories import SnapshotFactory, pubkey
from tests.regtest.waiting import until
from tests.streams.conftest import FakeLnd, Looks, Running
from tests.streams.test_process import heard as nudges_heard

PEER, OTHER = pubkey(1), pubkey(2)


def say(
    lnd: FakeLnd, peer: str = PEER, method: str = "lsps0.list_protocols", id: str = "a", type: int = 37_913
) -> None:
    request = {"jsonrpc": "2.0", "id": id, "method": method, "params": {}}
    lnd.put("custom_messages", CustomMessage(peer, type, json.dumps(request).encode()))


def answers(lnd: FakeLnd, peer: str = PEER) -> dict[str, Any]:
    """By the id of what was asked."""
    found = [json.loads(data) for to, data in list(lnd.sent) if to == peer]
    return {each["id"]: each.get("result", each.get("error")) for each in found}


@pytest.fixture
def door(streams: Running, lnd: FakeLnd) -> Running:
    until(lambda: lnd.is_asked_for("custom_messages"), "peers are listened to")
    return streams


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Orders wait for the node until the event is set."""
    go_on = threading.Event()

    def create(*_: Any) -> str:
        go_on.wait(30)
        return "made"

    monkeypatch.setitem(methods.METHODS, "lsps1.create_order", methods.Method(create, is_slow=True))  # type: ignore[arg-type]
    yield go_on
    go_on.set()


def test_a_peer_is_answered(door: Running, lnd: FakeLnd) -> None:
    say(lnd)
    until(lambda: answers(lnd) == {"a": {"protocols": [1]}}, "the answer was sent")


def test_l0_08_who_has_said_nothing_is_told_nothing_and_other_types_are_not_ours(door: Running, lnd: FakeLnd) -> None:
    say(lnd, type=37_915)
    lnd.put("custom_messages", CustomMessage(OTHER, 32_769, b"whatever"))
    say(lnd, id="b")
    until(lambda: answers(lnd) == {"b": {"protocols": [1]}}, "the answer was sent")
    assert [to for to, _ in lnd.sent] == [PEER]


def test_l0_09_a_slow_purchase_delays_no_other_answer_and_answers_come_as_they_are_ready(
    door: Running, lnd: FakeLnd, slow: threading.Event
) -> None:
    for number in range(3):  # more than there are threads for it
        say(lnd, method="lsps1.create_order", id=f"slow-{number}")
    say(lnd, id="quick")
    say(lnd, OTHER, id="quick")
    until(lambda: "quick" in answers(lnd) and "quick" in answers(lnd, OTHER), "both were answered")
    assert set(answers(lnd)) == {"quick"}
    slow.set()
    until(lambda: len(answers(lnd)) == 4, "the slow ones too")


def test_what_has_waited_for_longer_than_any_wallet_does_is_refused_and_makes_no_order(
    door: Running, lnd: FakeLnd, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An order that is made when its buyer has gone would only be in the way."""
    for number in range(3):  # one more than there are threads for it
        say(lnd, method="lsps1.create_order", id=f"slow-{number}")
        say(lnd, id=f"quick-{number}")
        until(lambda number=number: f"quick-{number}" in answers(lnd), "so far all is read")
    monkeypatch.setattr(desk, "_PATIENCE_SECONDS", 0.0)
    slow.set()
    until(lambda: len(answers(lnd)) == 6, "each has its answer")
    assert [answers(lnd)[f"slow-{number}"] for number in range(2)] == ["made", "made"]
    assert answers(lnd)["slow-2"]["code"] == -32000
    say(lnd, id="late")
    until(lambda: "late" in answers(lnd), "this one too")
    assert answers(lnd)["late"]["code"] == -32000


def test_what_waits_when_peers_are_heard_no_more_makes_no_order(
    door: Running, lnd: FakeLnd, slow: threading.Event
) -> None:
    """Its peer asks again once we are heard: then there would be two."""
    for number in range(3):  # one more than there are threads for it
        say(lnd, method="lsps1.create_order", id=f"slow-{number}")
    say(lnd, id="quick")
    until(lambda: "quick" in answers(lnd), "so far all is read")
    lnd.put("custom_messages", NodeUnavailable("odd"))
    until(lambda: lnd.story.count("custom_messages") == 2, "peers are listened to again")
    slow.set()
    say(lnd, method="lsps1.create_order", id="again")
    until(lambda: "again" in answers(lnd), "who asks again has his order")
    assert answers(lnd).keys() == {"quick", "slow-0", "slow-1", "again"}


def test_slow_purchases_delay_no_look_at_an_order(
    door: Running, lnd: FakeLnd, slow: threading.Event, looks: Looks
) -> None:
    for peer in range(20):
        for number in range(AT_ONCE):
            say(lnd, pubkey(100 + peer), method="lsps1.create_order", id=str(number))
    nudges_heard(looks)


def test_what_gives_way_to_others_counts_no_more_for_its_peer(
    start: Callable[..., Running], lnd: FakeLnd, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a peer whose requests nobody will answer may ask nothing any more."""
    monkeypatch.setattr(limits, "WAITING", 6)
    start()
    until(lambda: lnd.is_asked_for("custom_messages"), "peers are listened to")
    peers = [pubkey(100 + number) for number in range(4)]
    for peer in peers * AT_ONCE:
        say(lnd, peer, method="lsps1.create_order", id="slow")

    def all_told() -> bool:
        untold = [peer for peer in peers if {"protocols": [1]} not in answers(lnd, peer).values()]
        for peer in untold:  # this too may have to give way
            say(lnd, peer, id=str(uuid4()))
        return not untold

    until(all_told, "each of them is answered again", pause=0.5, timeout=20)


def test_a_flood_of_one_peer_is_told_once_and_another_is_answered(door: Running, lnd: FakeLnd) -> None:
    for number in range(5 * BURST):
        say(lnd, id=str(number))
    say(lnd, OTHER)
    until(lambda: "a" in answers(lnd, OTHER), "the other was answered")
    until(lambda: any("code" in said for said in answers(lnd).values()), "the flood was told")
    assert len(answers(lnd)) < 2 * BURST


def test_a_hundred_peers_at_once_are_answered_while_one_of_them_floods(
    door: Running, lnd: FakeLnd, record_property: Callable[[str, object], None]
) -> None:
    """A wallet waits for five seconds. The bound is for a busy machine: none of them waits for the flood."""
    SnapshotFactory()
    Service.objects.create()
    honest = [pubkey(100 + number) for number in range(99)]
    began = time.monotonic()
    took: dict[str, float] = {}
    for number in range(20 * BURST):
        say(lnd, method="lsps1.get_info", id=str(number))
        if number % 4 == 0 and number // 4 < len(honest):
            say(lnd, honest[number // 4], method="lsps1.get_info")

    def all_answered() -> bool:
        for peer, _ in list(lnd.sent):
            took.setdefault(peer, time.monotonic() - began)
        return set(honest) <= took.keys()

    until(all_answered, "every one was answered", pause=0.002)
    assert all("max_channel_balance_sat" in answers(lnd, peer)["a"] for peer in honest)
    times = sorted(took[peer] for peer in honest)
    record_property("p50_p99_seconds", (times[49], times[97]))
    print(f"p50 {times[49]:.3f} s, p99 {times[97]:.3f} s")
    assert times[97] < 3


def test_who_floods_without_end_is_disconnected(door: Running, lnd: FakeLnd) -> None:
    for number in range(2 * FLOOD):
        say(lnd, id=str(number))
    until(lambda: lnd.disconnected == [PEER], "it was disconnected")
    say(lnd, OTHER)
    until(lambda: "a" in answers(lnd, OTHER), "another is answered")


def test_that_a_flooding_peer_cannot_be_disconnected_is_no_defect_of_ours(
    door: Running, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []

    def disconnect(pubkey: str) -> None:
        tried.append(pubkey)
        raise NodeUnavailable("away")

    monkeypatch.setattr(lnd, "disconnect", disconnect)
    for number in range(2 * FLOOD):
        say(lnd, id=str(number))
    until(lambda: tried == [PEER], "it was tried")
    say(lnd, OTHER)
    until(lambda: "a" in answers(lnd, OTHER), "another is answered")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_who_still_waits_to_be_disconnected_when_we_stop_is_no_defect_of_ours(
    door: Running, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[str] = []
    go_on = threading.Event()

    def disconnect(pubkey: str) -> None:
        tried.append(pubkey)
        go_on.wait(20)

    monkeypatch.setattr(lnd, "disconnect", disconnect)
    for peer in (PEER, OTHER):
        for number in range(2 * FLOOD):
            say(lnd, peer, id=str(number))
    until(lambda: len(door.process._node._desk._cutting.waiting) == 1, "one waits for the other")
    ending = threading.Timer(0.3, go_on.set)
    ending.start()
    door.stop()
    assert door.ended_in_order and tried == [PEER]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_purchase_that_is_read_while_we_stop_is_not_begun_and_no_defect_of_ours(
    door: Running, slow: threading.Event, lnd: FakeLnd, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    reading, go_on = threading.Event(), threading.Event()

    def begun(peer: str, payload: bytes) -> Call:
        reading.set()
        go_on.wait(20)
        return Call("a", "lsps1.create_order", {})

    monkeypatch.setattr(answering, "begun", begun)
    say(lnd, method="lsps1.create_order")
    assert reading.wait(20)
    ending = threading.Timer(0.3, go_on.set)
    ending.start()
    door.stop()
    assert door.ended_in_order and answers(lnd) == {}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("fate", ["delivered", "gone while it is told", "gone before"])
def test_whatever_became_of_its_answers_a_peer_may_ask_again(
    door: Running, lnd: FakeLnd, caplog: pytest.LogCaptureFixture, fate: str
) -> None:
    """One request after another: each that is over counts no more, and that its peer is gone is no defect of ours."""

    def sending(pubkey: str) -> Future[Any]:
        future: Future[Any] = Future()
        if fate == "gone before":
            raise NodeUnavailable("gone")
        future.set_exception(NodeUnavailable("gone")) if fate != "delivered" else future.set_result(None)
        return future

    lnd.sending = sending
    for number in range(AT_ONCE + 3):
        say(lnd, id=str(number))
        until(lambda number=number: str(number) in answers(lnd), "it is answered")
        assert answers(lnd)[str(number)] == {"protocols": [1]}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_l0_29_a_peer_that_does_not_read_holds_no_thread_and_is_asked_for_nothing(door: Running, lnd: FakeLnd) -> None:
    never: dict[str, Future[Any]] = {}

    def sending(peer: str) -> Future[Any]:
        future: Future[Any] = never.setdefault(peer, Future()) if peer != OTHER else Future()
        if peer == OTHER:
            future.set_exception(NodeUnavailable("gone"))
        return future

    lnd.sending = sending
    for peer in range(20):
        say(lnd, pubkey(100 + peer))
    for number in range(3):
        say(lnd, OTHER, id=str(number))
    until(lambda: len(answers(lnd, OTHER)) == 3, "the other was answered")
    until(lambda: len(never) == 20, "all were")


def test_a_macaroon_that_may_not_hear_peers_ends_no_other_subscription(
    start: Callable[..., Running], lnd: FakeLnd
) -> None:
    lnd.rights.discard("SendCustomMessage")
    start()
    until(lambda: "look" in lnd.story, "the node was looked at")
    looked = lnd.story.count("look")
    lnd.put("blocks", 801)
    until(lambda: lnd.story.count("look") > looked, "a block is looked at")
    assert "custom_messages" not in lnd.story and "closed" not in lnd.story


def test_without_the_setting_nobody_listens_to_peers(
    start: Callable[..., Running], lnd: FakeLnd, settings: Any
) -> None:
    settings.LSPS1_OVER_LIGHTNING = False
    start()
    until(lambda: "look" in lnd.story, "the node was looked at")
    assert "custom_messages" not in lnd.story


def test_the_heartbeat_says_whether_peers_are_heard(start: Callable[..., Running], lnd: FakeLnd, settings: Any) -> None:
    settings.LSPS1_OVER_LIGHTNING = False
    deaf = start().process._details()["streams"]
    assert "peers=unheard" in deaf.split()


def test_control_with_the_setting_it_says_that_they_are(door: Running) -> None:
    assert "peers=heard" in door.process._details()["streams"].split()


def test_what_breaks_between_peers_and_us_is_begun_anew_and_ends_no_other_subscription(
    door: Running, lnd: FakeLnd
) -> None:
    for trouble in (NodeUnavailable("odd"), RuntimeError("a defect")):
        begun = lnd.story.count("custom_messages")
        lnd.put("custom_messages", trouble)
        until(lambda begun=begun: lnd.story.count("custom_messages") > begun, "peers are listened to again")
    until(lambda: lnd.is_asked_for("custom_messages"), "peers are listened to")
    say(lnd)
    until(lambda: "a" in answers(lnd), "the answer was sent")
    assert "closed" not in lnd.story and lnd.story.count("blocks") == 1


def test_who_stands_by_answers_nobody(door: Running, start: Callable[..., Running], lnd: FakeLnd) -> None:
    start()
    say(lnd)
    until(lambda: lnd.sent != [], "the answer was sent")
    say(lnd, id="b")
    until(lambda: "b" in answers(lnd), "so was the next")
    assert len(lnd.sent) == 2


def test_l0_16_that_we_answer_is_announced_and_again_when_the_node_has_started_anew(
    start: Callable[..., Running], lnd: FakeLnd, settings: Any
) -> None:
    key = pubkey(9)
    settings.NODE_URIS = (f"{key}@203.0.113.5:9735", f"{key}@node.example:9735")
    lnd.rights.add("UpdateNodeAnnouncement")
    start()
    # A name is left out: the node would tell for ever what it found under it once.
    once = [(729, ("203.0.113.5:9735",))]
    until(lambda: lnd.announced == once, "it is announced")
    lnd.break_down()
    until(lambda: "closed" in lnd.story, "the node is away")
    lnd.features.clear()
    lnd.is_up = True
    until(lambda: lnd.announced == once * 2, "it is announced again", timeout=30)


@pytest.mark.parametrize("lacking", ["UpdateNodeAnnouncement", "SubscribeCustomMessages", "setting"])
def test_l0_16_nothing_is_announced_without_the_right_or_where_we_do_not_answer(
    start: Callable[..., Running], lnd: FakeLnd, settings: Any, lacking: str
) -> None:
    lnd.rights |= {"UpdateNodeAnnouncement"}
    lnd.rights.discard(lacking)
    settings.LSPS1_ANNOUNCED = lacking != "setting"
    start()
    until(lambda: "look" in lnd.story, "the node was looked at")
    assert lnd.announced == []
