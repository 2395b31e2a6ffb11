"""Parts for promised channels wait for whoever decides, in this process or another, and are told what was decided."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.parts import FAIL, RESUME, Answer, Circuit, Intercepted, resume_with
from lightning.types import Channel, Htlc, Outpoint
from orders.jit import gathering, saying
from orders.models import ChannelOrder, JitPart, JitPurchase, PartDecision, Service
from orders.payments.lightning.passing import moves
from streams.promised import Promised, _Waiting
from tests.factories import SnapshotFactory
from tests.integration.lsps2 import open_shop
from tests.integration.test_jit_gathering import SIZE_MSAT, bought, part
from tests.integration.test_lsps5 import channel
from tests.regtest.waiting import until


@pytest.fixture(autouse=True)
def shop(transactional_db: None, settings: Any) -> Service:
    return open_shop(settings, SnapshotFactory())


@pytest.fixture
def promised() -> Iterator[Promised]:
    one = Promised()
    yield one
    one.forget()


class Told:
    """What our node was told of a part."""

    def __init__(self, promised: Promised, one: Intercepted) -> None:
        self.answers: list[Answer] = []
        promised.decide(one, self)

    def __call__(self, answer: Answer) -> bool:
        self.answers.append(answer)
        return True


def decide(decision: PartDecision, fee_msat: int = 0) -> None:
    JitPart.objects.update(decision=decision, decided_at=timezone.now(), fee_msat=fee_msat)


def test_what_is_known_is_told_at_once(promised: Promised) -> None:
    purchase = bought()
    assert Told(promised, part(purchase, scid=purchase.number + 1)).answers == [RESUME]
    assert promised.is_ours(purchase.number)


def test_where_no_thread_could_begin_the_next_who_decides_begins_one(
    promised: Promised, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(_: threading.Thread) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    one = part(bought())
    monkeypatch.setattr(threading.Thread, "start", too_many)
    with pytest.raises(RuntimeError):
        Told(promised, one)
    told = Told(promised, one)  # as `Undecided` hands it over once more
    decide(PartDecision.RESUME, 1_000)
    until(lambda: told.answers, "it is told")


def test_what_another_process_decides_is_told_once(promised: Promised) -> None:
    told = Told(promised, part(bought()))
    assert not told.answers
    decide(PartDecision.RESUME, 1_000)
    until(lambda: told.answers, "it is told")
    assert told.answers == [resume_with(SIZE_MSAT - 1_000, fee_msat=1_000)]


def test_a_part_that_comes_again_is_told_to_who_asks_now(promised: Promised) -> None:
    one = part(bought())
    before, now = Told(promised, one), Told(promised, one)
    decide(PartDecision.FAIL)
    until(lambda: now.answers, "it is told")
    assert now.answers == [FAIL] and not before.answers


def test_while_the_database_is_away_it_waits(promised: Promised, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(promised, part(bought()))
    ask, away = gathering.answers, []

    def failing(circuits: Any) -> Any:
        if len(away) < 3:
            away.append(1)
            raise OperationalError("gone")
        return ask(circuits)

    monkeypatch.setattr(gathering, "answers", failing)
    decide(PartDecision.FAIL)
    until(lambda: told.answers, "it is told")
    assert len(away) == 3


def test_what_waits_for_too_long_for_its_others_goes_back_without_anybody_else(
    promised: Promised, settings: Any
) -> None:
    settings.LSPS2_HOLD_SECONDS = 0
    told = Told(promised, part(bought(), SIZE_MSAT - 1))
    until(lambda: told.answers, "it is told")
    assert told.answers == [FAIL]


def test_what_is_lost_is_counted_on_no_more_and_told_nothing(promised: Promised) -> None:
    one = part(bought(), SIZE_MSAT - 1)
    told = Told(promised, one)
    promised.lost(one)
    assert JitPart.objects.get().reason == "CHANNEL_CLOSED" and not told.answers
    assert not JitPurchase.objects.exclude(opened_at=None).exists()


def test_what_is_forgotten_before_it_was_told_is_heard_of_anew(promised: Promised) -> None:
    told = Told(promised, part(bought(), SIZE_MSAT - 1))
    JitPart.objects.all().delete()
    until(lambda: JitPart.objects.exists() or None, "it is written down")
    decide(PartDecision.FAIL)
    until(lambda: told.answers, "it is told")
    assert told.answers == [FAIL]


class Channels:
    """Our node, as far as it is asked: where parts came in, and one channel with the buyer."""

    def __init__(self) -> None:
        self.held, self.moved, self.fails, self.lists = True, 0, 0, 0
        self.has_channel = True

    def channels(self) -> list[Channel]:
        self.lists += 1
        if self.fails:
            self.fails -= 1
            raise NodeUnavailable("gone")
        rows = list(JitPart.objects.all())
        into = channel(alias=int(rows[0].chan_id), htlcs=tuple(map(_htlc, rows)) if self.held else ())
        to = channel(peer_pubkey=rows[0].purchase.node_pubkey, updates=self.moved, outpoint=Outpoint("cd" * 32, 0))
        return [into, to] if self.has_channel else [into]


def _htlc(row: JitPart) -> Htlc:
    return Htlc(
        incoming=True, amount_sat=row.incoming_msat // 1000, payment_hash=row.payment_hash,
        expiry_height=row.incoming_expiry, index=row.htlc_id, other_channel=0, other_index=0, locked_in=True,
    )  # fmt: skip


class TestWhatGoesOnIsToldOnce:
    """Our node asks once more, also about what has come back or was taken meanwhile: what is told to go on then does so
    anew, and nobody pays for it but we.
    """

    SAID = resume_with(SIZE_MSAT - 1_000, fee_msat=1_000)

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("streams.promised._SHOWS_SECONDS", 0.3)
        monkeypatch.setattr("streams.promised._END_WAITING_SECONDS", 0.0)

    @pytest.fixture(autouse=True)
    def node(self, monkeypatch: pytest.MonkeyPatch) -> Channels:
        node = Channels()
        monkeypatch.setattr("lightning.connection.node", lambda: node)
        return node

    @pytest.fixture
    def going(self) -> Intercepted:
        """An order was made for it, and its decision is written down."""
        one = part(bought())
        gathering.hear(one)
        decided = {"decision": PartDecision.RESUME, "decided_at": timezone.now(), "fee_msat": 1_000}
        JitPart.objects.update(order=ChannelOrder.objects.get(), **decided)
        return one

    @pytest.fixture
    def doubtful(self, promised: Promised, going: Intercepted) -> Intercepted:
        """It was told, and the stream has ended right then."""
        assert Told(promised, going).answers == [self.SAID]
        promised.ended()
        return going

    def looked_at(self, promised: Promised, one: Intercepted) -> list[Answer]:
        told = Told(promised, one)
        until(lambda: not promised._waiting, "it was looked at")
        return told.answers

    def test_by_the_same_stream_it_is_not_told_again_whatever_the_channels_show(
        self, promised: Promised, going: Intercepted, node: Channels
    ) -> None:
        assert Told(promised, going).answers == [self.SAID]
        assert JitPart.objects.get().told_at is not None
        assert not Told(promised, going).answers
        assert not promised._waiting and not node.lists

    def test_nor_by_another_once_our_node_has_done_it(
        self, promised: Promised, going: Intercepted, node: Channels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("streams.promised._DONE_SECONDS", 0.0)
        Told(promised, going)
        until(lambda: JitPart.objects.get().is_done, "our node has had its time")
        until(lambda: not promised._told, "nothing is remembered")
        assert not self.looked_at(promised, going)

    def test_where_it_may_not_have_been_heard_and_nothing_was_done_it_is_told_again(
        self, promised: Promised, doubtful: Intercepted
    ) -> None:
        assert self.looked_at(promised, doubtful) == [self.SAID]
        assert not Told(promised, doubtful).answers  # and that was the last time, by this stream

    def test_so_it_is_by_the_next_process(self, promised: Promised, doubtful: Intercepted) -> None:
        the_next = Promised()
        assert self.looked_at(the_next, doubtful) == [self.SAID]
        the_next.forget()

    @pytest.mark.parametrize("change", [{"held": False}, {"moved": 1}], ids=str)
    def test_nothing_is_said_where_it_came_back_or_something_has_moved(
        self, promised: Promised, doubtful: Intercepted, node: Channels, change: dict[str, Any]
    ) -> None:
        vars(node).update(change)
        assert self.looked_at(promised, doubtful) == []

    def test_what_had_moved_before_it_went_on_counts_for_nothing(
        self, promised: Promised, doubtful: Intercepted, node: Channels
    ) -> None:
        node.moved = 7
        JitPart.objects.update(moves=moves(node.channels()[1:]))
        assert self.looked_at(promised, doubtful) == [self.SAID]

    def test_where_its_channel_is_no_more_nothing_is_said(
        self, promised: Promised, doubtful: Intercepted, node: Channels
    ) -> None:
        JitPart.objects.update(moves=moves(node.channels()[1:]))
        node.has_channel = False
        assert self.looked_at(promised, doubtful) == []

    def test_while_the_node_does_not_say_what_it_has_the_part_waits(
        self, promised: Promised, doubtful: Intercepted, node: Channels
    ) -> None:
        node.fails = 2
        assert self.looked_at(promised, doubtful) == [self.SAID]
        assert not node.fails

    def test_parts_of_one_payment_are_told_again_together_though_the_first_moves_something(
        self, promised: Promised, going: Intercepted, node: Channels
    ) -> None:
        other = replace(going, circuit=Circuit(going.circuit.channel, going.circuit.htlc + 1_000))
        gathering.hear(other)
        order = ChannelOrder.objects.get()
        JitPart.objects.update(order=order, decision=PartDecision.RESUME, decided_at=timezone.now(), fee_msat=1_000)
        for one in (going, other):
            assert Told(promised, one).answers == [self.SAID]
        promised.ended()
        said = []

        def tell(answer: Answer) -> bool:
            said.append(answer)
            node.moved += 1
            return True

        promised.decide(going, tell)
        time.sleep(0.2)
        promised.decide(other, tell)
        until(lambda: not promised._waiting, "they were looked at")
        assert said == [self.SAID] * 2

    def test_where_it_was_not_taken_the_next_question_is_the_first(
        self, promised: Promised, going: Intercepted, node: Channels
    ) -> None:
        node.moved = 1  # so it would not be told once more
        promised.decide(going, lambda _: False)
        assert JitPart.objects.get().told_at is None
        assert Told(promised, going).answers == [self.SAID]

    def test_nor_is_told_what_waits_no_more_once_that_it_is_told_was_written_down(
        self, promised: Promised, going: Intercepted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first_of = saying.first_of

        def and_the_stream_ends(circuits: Any) -> Any:
            stamped = first_of(circuits)
            if stamped:
                promised.ended()
            return stamped

        monkeypatch.setattr(saying, "first_of", and_the_stream_ends)
        JitPart.objects.update(decision="", decided_at=None)
        told = Told(promised, going)
        decide(PartDecision.RESUME, 1_000)
        until(lambda: not promised._waiting, "the stream has ended")
        promised.forget()
        assert JitPart.objects.get().told_at is None and not told.answers

    def test_what_is_not_taken_the_second_time_was_told_the_first(
        self, promised: Promised, doubtful: Intercepted, node: Channels
    ) -> None:
        promised.decide(doubtful, lambda _: False)
        until(lambda: not promised._waiting, "it was looked at")
        assert JitPart.objects.get().told_at is not None
        node.moved = 1
        assert self.looked_at(promised, doubtful) == []

    def test_who_was_the_first_and_finds_late_that_it_was_not_taken_takes_back_nothing_of_the_second(
        self, promised: Promised, doubtful: Intercepted
    ) -> None:
        first = JitPart.objects.get().told_at
        assert self.looked_at(promised, doubtful) == [self.SAID]
        assert first is not None
        saying.unsaid(doubtful.circuit, first)
        assert JitPart.objects.get().told_at is not None

    def test_what_was_failed_or_refused_is_told_each_time(self, promised: Promised) -> None:
        one = part(bought(), SIZE_MSAT - 1)
        gathering.hear(one)
        for decision, said in [(PartDecision.FAIL, FAIL), (PartDecision.REFUSE, RESUME)]:
            decide(decision)
            assert [Told(promised, one).answers for _ in range(2)] == [[said], [said]]

    def test_another_process_that_tells_it_first_is_the_only_one(self, promised: Promised, going: Intercepted) -> None:
        JitPart.objects.update(decision="", decided_at=None)
        told = Told(promised, going)
        now = timezone.now()
        JitPart.objects.update(decision=PartDecision.RESUME, decided_at=now, told_at=now, is_done=True)
        until(lambda: not promised._waiting, "it was looked at")
        assert not told.answers

    def test_a_question_of_a_stream_before_does_not_displace_the_one_of_now(
        self, promised: Promised, going: Intercepted
    ) -> None:
        JitPart.objects.update(decision="", decided_at=None)
        now = Told(promised, going)
        promised._wait(_Waiting(going, lambda _: False, 0.0))
        decide(PartDecision.RESUME, 1_000)
        until(lambda: now.answers, "who asks now is told")
