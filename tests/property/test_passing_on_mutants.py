"""Each guard of channels just in time is taken out in turn: the random interleavings must find what it costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from lightning.node import LndNode
from lightning.parts import FAIL, Answer, Intercepted
from lightning.types import Channel
from orders.jit import gathering, saying
from orders.models import ChannelOpening, ChannelOrder, JitPart, PartDecision
from orders.opening_fee import Size, shares
from orders.openings import carrying, committing
from orders.payments.lightning import passing
from orders.payments.lightning.passing import Passed
from tests.property.passing_on import PassingOn
from tests.property.test_mutants import Mutant, look_for
from tests.property.test_passing_on import passing_on

__all__ = ["passing_on"]


def forget_what_was_decided(patch: pytest.MonkeyPatch) -> None:
    """What went on is failed when the node asks once more."""
    hear = gathering.hear

    def forgetful(part: Intercepted) -> Answer | None:
        circuit = {"chan_id": str(part.circuit.channel), "htlc_id": part.circuit.htlc}
        known = JitPart.objects.filter(decision=PartDecision.RESUME, **circuit)
        return FAIL if known.exists() else hear(part)

    patch.setattr(gathering, "hear", forgetful)
    patch.setattr(saying, "first", lambda circuit: timezone.now())


def tell_it_whenever_it_is_asked(patch: pytest.MonkeyPatch) -> None:
    """What went on does so once more."""
    patch.setattr(saying, "first", lambda circuit: timezone.now())


def take_the_fee_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passing, "shares", lambda parts_msat, fee_msat: shares(parts_msat, 2 * fee_msat))


def let_go_before_the_alias_is_there(patch: pytest.MonkeyPatch) -> None:
    """Given at the next look, when the parts have gone on."""
    add_alias = LndNode.add_alias

    def later(node: LndNode, base: int, alias: int) -> None:
        if JitPart.objects.filter(decision=PartDecision.RESUME).exists():
            add_alias(node, base, alias)

    patch.setattr(LndNode, "add_alias", later)


def believe_what_the_sender_says(patch: pytest.MonkeyPatch) -> None:
    row = gathering._row

    def believed(purchase: Any, part: Intercepted, now: datetime) -> JitPart:
        return row(purchase, replace(part, incoming_msat=min(part.outgoing_msat, 2**63 - 1)), now)

    patch.setattr(gathering, "_row", believed)


def leave_nothing_over(patch: pytest.MonkeyPatch) -> None:
    """The channel is as large as what goes on."""
    patch.setattr(Size, "channel_sat", lambda self, payment_msat, fee_msat: -(-(payment_msat - fee_msat) // 1000))


def publish_before_anything_was_taken(patch: pytest.MonkeyPatch) -> None:
    def published(order: ChannelOrder, live: ChannelOpening, channel: Channel, node: LndNode, now: datetime) -> None:
        committing.keep(order.pk, live.pk, node)

    patch.setattr(carrying, "_begin", published)


def leave_what_was_taken(patch: pytest.MonkeyPatch) -> None:
    """Nobody reads the history, and nobody looks what is in the channel."""
    patch.setattr(Passed, "_taken", lambda self, node: {})
    patch.setattr(carrying, "is_empty", lambda order, opening, node: True)


MUTANTS = (
    Mutant("forgets what it decided", forget_what_was_decided, "were paid out by us"),
    Mutant("tells it whenever it is asked", tell_it_whenever_it_is_asked, "were paid out by us"),
    Mutant("takes the fee twice", take_the_fee_twice, "were promised|takes another fee"),
    Mutant("lets go unnamed", let_go_before_the_alias_is_there, "no channel has its number"),
    Mutant("believes the sender", believe_what_the_sender_says, "came in"),
    Mutant("leaves nothing over", leave_nothing_over, "do not pass"),
    Mutant("publishes untaken", publish_before_anything_was_taken, "nothing has gone on over it"),
    Mutant("leaves what was taken", leave_what_was_taken, "is worth nothing|its buyer has taken it"),
)


#: What these cost shows where the node asks about what its wallet has: so the wallet has it for a while.
_SEEN_WHILE_IT_IS_HELD = (forget_what_was_decided, tell_it_whenever_it_is_asked)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_machine_finds_what_a_missing_guard_of_channels_just_in_time_costs(
    passing_on: type[PassingOn], monkeypatch: pytest.MonkeyPatch, mutant: Mutant
) -> None:
    class Watched(passing_on):  # type: ignore[valid-type, misc]
        # Nothing here needs these, and every step that shows nothing makes the search longer.
        buy = pay = deposit = replace_a_deposit = claim = unclaim = staff = web_dies_while_it_sells = None
        customer_closes = fees_move = reorganise = time_passes = engine_dies_at_an_order = engine_dies_at_a_look = None
        first_takes = "holds" if mutant.take_out in _SEEN_WHILE_IT_IS_HELD else "settles"

    mutant.take_out(monkeypatch)
    look_for(mutant, Watched, steps=20)
