"""Parts for promised channels wait for whoever decides, in this process or another, and are told what was decided."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from lightning.errors import NodeUnavailable
from lightning.parts import FAIL, RESUME, Answer, Intercepted, resume_with
from lightning.types import Channel, Htlc
from orders.jit import gathering
from orders.models import ChannelOrder, JitPart, JitPurchase, PartDecision, Service
from orders.payments.lightning.passing import moves
from streams.promised import Promised
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
    """Our node, as far as it is asked: where the part came in, and one with the buyer."""

    def __init__(self, *, held: bool) -> None:
        self.held, self.moved, self.fails = held, 0, 0

    def channels(self) -> list[Channel]:
        if self.fails:
            self.fails -= 1
            raise NodeUnavailable("gone")
        row = JitPart.objects.get()
        htlc = Htlc(
            incoming=True, amount_sat=row.incoming_msat // 1000, payment_hash=row.payment_hash,
            expiry_height=row.incoming_expiry, index=row.htlc_id, other_channel=0, other_index=0, locked_in=True,
        )  # fmt: skip
        into = channel(alias=int(row.chan_id), htlcs=(htlc,) if self.held else ())
        return [into, channel(peer_pubkey=row.purchase.node_pubkey, updates=self.moved)]


class TestWhatGoesOnIsToldOnce:
    """Our node asks once more, also about what has come back or was taken meanwhile: what is told to go on then does so
    anew, and nobody pays for it but we.
    """

    SAID = resume_with(SIZE_MSAT - 1_000, fee_msat=1_000)

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("streams.promised._DONE_SECONDS", 0.2)
        monkeypatch.setattr("streams.promised._SHOWS_SECONDS", 0.4)

    @pytest.fixture
    def node(self, monkeypatch: pytest.MonkeyPatch) -> Channels:
        node = Channels(held=True)
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

    def test_what_has_gone_on_is_not_spoken_of_again(self, promised: Promised, going: Intercepted, node: Any) -> None:
        assert Told(promised, going).answers == [self.SAID]
        assert JitPart.objects.get().told_at is not None
        again = Told(promised, going)
        until(lambda: not promised._waiting, "it was looked at")
        assert not again.answers and JitPart.objects.get().is_done

    def test_nor_by_the_next_process(self, promised: Promised, going: Intercepted, node: Any) -> None:
        Told(promised, going)
        until(lambda: JitPart.objects.get().is_done, "our node has had its time")
        the_next = Promised()
        again = Told(the_next, going)
        until(lambda: not the_next._waiting, "it was looked at")
        assert not again.answers

    @pytest.mark.parametrize("what", ["nothing", "the stream ended", "the process died"])
    def test_where_our_node_may_not_have_heard_it_and_has_done_nothing_it_is_told_again(
        self, promised: Promised, going: Intercepted, node: Any, what: str
    ) -> None:
        Told(promised, going)
        if what == "the stream ended":
            promised.ended()
        elif what == "the process died":
            promised.forget()
            promised = Promised()
        again = Told(promised, going)
        until(lambda: not promised._waiting, "it was looked at")
        assert again.answers == ([] if what == "nothing" else [self.SAID])
        until(lambda: what == "nothing" or JitPart.objects.get().is_done, "and that was the last time")

    def test_where_it_was_not_taken_the_next_question_is_the_first(
        self, promised: Promised, going: Intercepted, node: Channels
    ) -> None:
        node.moved = 1  # so it would not be told once more
        promised.decide(going, lambda _: False)
        assert JitPart.objects.get().told_at is None
        assert Told(promised, going).answers == [self.SAID]

    @pytest.mark.parametrize("change", ["is where it came in no more", "something has moved"])
    def test_nothing_is_said_where(self, promised: Promised, going: Intercepted, node: Channels, change: str) -> None:
        Told(promised, going)
        promised.ended()
        node.held, node.moved = change == "something has moved", int(change == "something has moved")
        again = Told(promised, going)
        until(lambda: not promised._waiting, "it was looked at")
        assert not again.answers

    def test_what_had_moved_before_it_went_on_counts_for_nothing(
        self, promised: Promised, going: Intercepted, node: Channels
    ) -> None:
        Told(promised, going)
        promised.ended()
        node.moved = 7
        JitPart.objects.update(moves=moves(node.channels()[1:]))
        again = Told(promised, going)
        until(lambda: again.answers, "it is told")

    def test_while_the_node_does_not_say_what_it_has_the_part_waits(
        self, promised: Promised, going: Intercepted, node: Channels
    ) -> None:
        Told(promised, going)
        promised.ended()
        node.fails = 2
        again = Told(promised, going)
        until(lambda: again.answers, "it is told")
        assert not node.fails

    def test_what_was_failed_or_refused_is_told_each_time(self, promised: Promised, node: Any) -> None:
        one = part(bought(), SIZE_MSAT - 1)
        gathering.hear(one)
        for decision, said in [(PartDecision.FAIL, FAIL), (PartDecision.REFUSE, RESUME)]:
            decide(decision)
            assert [Told(promised, one).answers for _ in range(2)] == [[said], [said]]

    def test_another_process_that_tells_it_first_is_the_only_one(
        self, promised: Promised, going: Intercepted, node: Channels
    ) -> None:
        JitPart.objects.update(decision="", decided_at=None)
        told = Told(promised, going)
        JitPart.objects.update(
            decision=PartDecision.RESUME, decided_at=timezone.now(), told_at=timezone.now(), is_done=True
        )
        until(lambda: not promised._waiting, "it was looked at")
        assert not told.answers
