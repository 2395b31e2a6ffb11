"""Parts of others' payments that our node holds until they are answered, as values. No framework, no gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: LND calls channels by numbers of such block heights where no block gives them one, and takes others for no alias.
ALIAS_HEIGHTS = range(16_000_000, 16_250_000)
#: LND counts up from the first of them, and passes over what was added to a channel, but not what was only promised.
#: So that lies far above.
JIT_HEIGHTS = range(16_050_000, 16_250_000)
#: In place of a channel's number, where a part names the next node instead (blinded paths).
NO_CHANNEL = 2**64 - 1
#: The record of a part from which its fee was taken, to a wallet that expects that (bLIP-52).
EXTRA_FEE_RECORD = 65_537


def is_alias(scid: int) -> bool:
    """The short channel id is one that no block gives: LND lets it be added to a channel of ours."""
    return scid >> 40 in ALIAS_HEIGHTS


def may_be_promised(scid: int) -> bool:
    """The short channel id is one of those that we promise; else it is of no channel that is still to come."""
    return scid >> 40 in JIT_HEIGHTS


@dataclass(frozen=True, slots=True, order=True)
class Circuit:
    """A part of a payment that came in: the channel that it came by, as LND calls it, and its number there."""

    channel: int
    htlc: int

    def __str__(self) -> str:
        return f"{self.channel}:{self.htlc}"


@dataclass(frozen=True, slots=True)
class Intercepted:
    """A part of somebody's payment that is to go on through us, and that LND holds until it is answered.

    What came in is a fact. What is to go out the sender has written, and nobody has tested it: count `incoming_msat`.
    LND fails the part by itself at `auto_fail_height`; one whose channel is being closed by force (`is_on_chain`) it
    offers once more, and an answer to that ends the stream.
    """

    circuit: Circuit
    payment_hash: str
    incoming_msat: int
    incoming_expiry: int  # block height
    outgoing_msat: int
    outgoing_expiry: int
    scid: int
    auto_fail_height: int

    @property
    def is_on_chain(self) -> bool:
        """Its channel is no more: only whoever has the preimage can do something for it."""
        return self.auto_fail_height >= self.incoming_expiry


class Action(StrEnum):
    """What becomes of a part."""

    RESUME = "resume"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell LND about a part. `out_msat` None: what the sender wrote goes out."""

    action: Action
    out_msat: int | None = None
    records: tuple[tuple[int, bytes], ...] = ()

    @property
    def goes_on(self) -> bool:
        """With what we say; else it comes back, or goes where it would if we were not there."""
        return self.out_msat is not None


#: As if we were not there. Where nobody knows its channel, the sender hears `unknown_next_peer`.
RESUME = Answer(Action.RESUME)
#: `temporary_channel_failure`. Of what was let go before never: it may be settled further on all the same.
FAIL = Answer(Action.FAIL)


def resume_with(out_msat: int, *, fee_msat: int = 0) -> Answer:
    """The part goes on with so much; where a fee was taken from it, the next node is told how much (bLIP-52).

    Raises: ValueError: nothing would go out, which LND takes for "as it was".
    """
    if out_msat <= 0 or fee_msat < 0:
        raise ValueError(f"a part goes on with {out_msat} msat after a fee of {fee_msat}")
    records = ((EXTRA_FEE_RECORD, fee_msat.to_bytes(8, "big")),) if fee_msat else ()
    return Answer(Action.RESUME, out_msat, records)
