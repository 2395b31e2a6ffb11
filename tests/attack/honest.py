"""Who only wants a channel: buys, pays, names his node, waits. What became of it is an `Outcome`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from tests.attack.client import wait
from tests.attack.ground import Ground
from tests.simulator.network import SimulatedPayment

#: So that the stock suffices for all who come in ten minutes.
SIZE_SAT: Final = 300_000
#: A wallet asks again when it is told to, and gives up after so long.
ASKS_FOR_SECONDS: Final = 15.0
#: He looks often at first, and then every few seconds, as wallets do: thirty who wait for ten minutes and look four
#: times a second would ask for more than all attackers together.
_SOONEST_SECONDS: Final = 0.25
_LATEST_SECONDS: Final = 5.0


class Got(StrEnum):
    """What a buyer has in the end."""

    CHANNEL = "channel"
    MONEY_BACK = "money back"
    REFUSED = "refused"
    NO_ANSWER = "no answer"
    WAITS = "waits"
    ROBBED = "robbed"  # paid for good, and has no channel


@dataclass
class Outcome:
    """One purchase. Seconds are until the journal has it that the payment is held, and that the opening begins.

    Of who named his node late the second are from then on.
    """

    got: Got
    held_seconds: float | None = None
    begun_seconds: float | None = None
    asked_seconds: float = 0.0
    order_id: str = ""
    paid_at: datetime | None = None
    claimed_at: datetime | None = None

    def took(self, held_at: datetime | None, begun_at: datetime | None) -> None:
        """The journal's times, by this machine's clock as all of them."""
        self.held_seconds = _seconds(self.paid_at, held_at)
        self.begun_seconds = _seconds(self.claimed_at or self.paid_at, begun_at)


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    return None if since is None or until is None else max(0.0, (until - since).total_seconds())


class Buyer:
    """He names his node when he buys, or pays and claims after pauses of his own."""

    def __init__(self, ground: Ground, until: float, *, pays_after: float = 0, claims_after: float = 0) -> None:
        self.ground = ground
        self.client = ground.shop.client(ground.buyers_address())
        self.until = until
        self.pays_after, self.claims_after = pays_after, claims_after

    def buys(self) -> Outcome:
        begun = time.monotonic()
        try:
            outcome = self._buys()
        except OSError:
            outcome = Outcome(Got.NO_ANSWER)
        outcome.asked_seconds = outcome.asked_seconds or time.monotonic() - begun
        return outcome

    def _buys(self) -> Outcome:
        uri = self.ground.customer("honest")
        begun = time.monotonic()
        named = {} if self.claims_after else {"node_uri": uri}
        answer = self.client.buy(SIZE_SAT, **named)
        while answer.status in {429, 503} and time.monotonic() - begun < ASKS_FOR_SECONDS:
            wait(min(answer.retry_after_seconds, 3), self.until)
            answer = self.client.buy(SIZE_SAT, **named)
        if answer.status != 200:
            return Outcome(Got.REFUSED, asked_seconds=time.monotonic() - begun)
        asked = time.monotonic() - begun
        self.ground.invoices.append(answer.said["ln_invoice"])
        wait(self.pays_after, self.until)
        outcome = Outcome(Got.WAITS, asked_seconds=asked, order_id=answer.said["order_id"], paid_at=_now())
        paid = self.ground.control.pay(answer.said["ln_invoice"])
        self._watch(outcome, SimulatedPayment(self.ground, paid.id), uri)
        return outcome

    def _watch(self, outcome: Outcome, payment: SimulatedPayment, uri: str) -> None:
        since = time.monotonic()
        claims_at = since + self.claims_after if self.claims_after else None
        while time.monotonic() < self.until:
            order, state = self.client.order(outcome.order_id), payment.status()
            if (got := _got(order["state_name"], state)) is not None:
                outcome.got = got
                return
            if claims_at is not None and time.monotonic() >= claims_at and order["state_name"] == "PAID":
                claims_at = None
                outcome.claimed_at, since = _now(), time.monotonic()  # from now on it is up to the shop
                self.client.claim(outcome.order_id, uri)
            wait(_pause_seconds(since, claims_at), self.until)


def _now() -> datetime:
    return datetime.now(UTC)


def _pause_seconds(since: float, claims_at: float | None) -> float:
    now = time.monotonic()
    pause = look_again_seconds(now - since)
    return min(pause, claims_at - now) if claims_at is not None and claims_at > now else pause


def look_again_seconds(waited_seconds: float) -> float:
    """When somebody looks again who has waited for so long: what he sees is an eighth too late at most."""
    return min(max(_SOONEST_SECONDS, waited_seconds / 8), _LATEST_SECONDS)


def _got(state: str, payment: str) -> Got | None:
    if payment == "FAILED":
        return Got.MONEY_BACK
    if state == "OPEN":
        return Got.CHANNEL
    if payment == "SUCCEEDED" and state in {"GIVE_UP", "EXPIRED", "REFUNDED", "REJECTED"}:
        return Got.ROBBED
    return None
