"""The same as `guards`, for channels that open just in time: each function takes one guard out of the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from lightning.node import LndNode
from lightning.parts import FAIL, Answer, Intercepted
from lightning.types import Channel
from orders.jit import gathering, saying
from orders.models import ChannelOpening, ChannelOrder, JitPart, PartDecision
from orders.openings import carrying, committing
from orders.payments.lightning import passing
from orders.payments.lightning.passing import Passed
from tests.chaos.guards import _only_after

JIT_GUARDS: dict[str, Callable[[], None]] = {}


def _guard(out: Callable[[], None]) -> Callable[[], None]:
    JIT_GUARDS[out.__name__] = out
    return out


@_guard
def a_part_is_told_the_same_each_time() -> None:
    """What went on is failed when the node asks once more."""
    hear = gathering.hear

    def forgetful(part: Intercepted) -> Answer | None:
        circuit = {"chan_id": str(part.circuit.channel), "htlc_id": part.circuit.htlc}
        went_on = JitPart.objects.filter(decision=PartDecision.RESUME, **circuit).exists()
        return FAIL if went_on else hear(part)

    gathering.hear = forgetful
    saying.first = lambda circuit: timezone.now()


@_guard
def what_was_taken_is_published_by_whoever_sees_it() -> None:
    """By who has let it go on, or never."""
    _only_after(passing, "_record_passed_on", committing, "keep")


@_guard
def nothing_is_published_that_was_not_taken() -> None:
    """Published as soon as the channel is there."""

    def published(order: ChannelOrder, live: ChannelOpening, channel: Channel, node: LndNode, now: datetime) -> None:
        committing.keep(order.pk, live.pk, node)

    carrying._begin = published  # type: ignore[assignment]


@_guard
def what_has_become_of_a_payment_the_history_says() -> None:
    """Nobody reads it, and nobody looks what is in the channel that is left."""
    Passed._taken = lambda self, node: {}  # type: ignore[method-assign, assignment]
    carrying.is_empty = lambda order, opening, node: True  # type: ignore[assignment]
