"""How wallets in the wild differ from the specification, by what they show of themselves: the one table. Pure.

Where a wallet reads more than bLIP-51 has, all are told it (`LSPS1_ALIASES`): bLIP-50 lets an answer have other names
besides. A row is for what one wallet needs and another must not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lsps import lsps1
from lsps.bolt8.codec import Call
from lsps.refusing import NO_REQUEST, NOT_JSON, Refusal

_HEX_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
#: An answer to who could not be understood says no more than this.
_BARE: Final = frozenset({NOT_JSON, NO_REQUEST})


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is different for some wallets."""

    name: str
    #: The request is one of theirs.
    shows: Callable[[Call], bool]
    #: They read the error's `data` only where it is an object, or only where it is none.
    reads_data: bool = True
    #: A number stands where the specification has none.
    always_a_feerate: bool = False
    #: Names of an earlier draft, by those of today; and what that draft did not ask for.
    names: Mapping[str, str] = field(default_factory=dict)
    unsaid: Mapping[str, Any] = field(default_factory=dict)
    #: States of a payment that they do not know, by the nearest that they do.
    states: Mapping[str, str] = field(default_factory=dict)

    def params(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """What an order asks for, by the names of today; who sends both is told that one of them is none."""
        renamed = {old: new for old, new in self.names.items() if new not in sent}
        return {**self.unsaid, **{renamed.get(name, name): value for name, value in sent.items()}}

    def words(self, *, aliases: bool) -> lsps1.Dialect:
        """How an order is told to them."""
        return lsps1.Dialect(aliases=aliases, always_a_feerate=self.always_a_feerate)

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """How a refusal is told to them: where no data may say what is wrong, the message does."""
        if self.reads_data and refusal.code not in _BARE:
            return refusal.error
        return {"code": refusal.code, "message": f"{refusal.title}: {refusal.sentence}"}

    def order(self, told: dict[str, Any]) -> dict[str, Any]:
        """The order with states that they know."""
        if not self.states:
            return told
        payment = told["payment"]
        rails = {name: self._stated(payment[name]) for name in ("bolt11", "onchain") if name in payment}
        return {**told, "payment": {**self._stated(payment), **rails}}

    def _stated(self, told: dict[str, Any]) -> dict[str, Any]:
        return {**told, "state": self.states.get(told["state"], told["state"])} if "state" in told else told


def _is_of_ldk(call: Call) -> bool:
    """Its ids are 16 bytes in hex, without the dashes of a UUID; and it sends a token that it has not as null."""
    has_no_token = "token" in call.params and call.params["token"] is None
    return has_no_token or bool(_HEX_ID.fullmatch(call.id))


def _is_of_zeus(call: Call) -> bool:
    client = call.params.get("client_info")
    return isinstance(client, dict) and str(client.get("app", "")).lower().startswith("zeus")


def _is_of_bos(call: Call) -> bool:
    """It names the blocks of the funding as the first draft did."""
    return "confirms_within_blocks" in call.params


#: As bLIP-51 has it.
PLAIN: Final = Dialect("bLIP-51", lambda call: True)
#: The first whose sign the request shows.
DIALECTS: Final = (
    # What a refusal is about it reads in error.data.message alone: an object, always.
    Dialect("ZEUS", _is_of_zeus),
    # lightning-liquidity parses strictly: what it does not expect is a malformed message, and no answer.
    Dialect("LDK", _is_of_ldk, reads_data=False, always_a_feerate=True, states={"HOLD": "PAID"}),
    # balanceofsatoshis orders by the first draft, which knew no confirmations of the channel.
    Dialect(
        "balanceofsatoshis",
        _is_of_bos,
        names={"confirms_within_blocks": "funding_confirms_within_blocks"},
        unsaid={"required_channel_confirmations": 1},
    ),
    PLAIN,
)


def of(call: Call) -> Dialect:
    """How to talk to whoever sent this."""
    return next(dialect for dialect in DIALECTS if dialect.shows(call))
