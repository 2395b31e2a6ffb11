"""Money that comes otherwise than it was asked for, and what becomes of it: late, too little, too much, twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from simulator.tour import Tour, somewhere

#: More than it costs to send it.
_TOO_MUCH_SAT: Final = 25_000


def late(tour: Tour, rail: str, claim: str) -> dict[str, Any]:
    """The order has ended, and what comes then buys its channel all the same; its quote."""
    quote = tour.buy()
    tour.time_is_over(quote["order_id"])
    tour.wait(quote["order_id"], "EXPIRED")
    tour.send(quote, quote["total_amount"])
    tour.wait(quote["order_id"], "PAID")
    tour.say("it came late, and covers what the channel costs today")
    return _until_open(tour, quote, claim)


def short(tour: Tour, rail: str, claim: str) -> dict[str, Any]:
    """Half of the price goes back when the order has ended, as soon as the wallet says where to; the quote."""
    quote = tour.buy()
    order_id = quote["order_id"]
    tour.send(quote, quote["total_amount"] // 2)
    seen = tour.until(order_id, lambda order: order["onchain_payments"], "see the deposit")
    tour.say(f"too little: the order is still {seen['state_name']}, and waits for the rest")
    tour.blocks(1)
    tour.time_is_over(order_id)
    tour.wait(order_id, "EXPIRED")
    tour.blocks()
    seen = tour.until(order_id, lambda order: order["refund_needed"], "ask where the money goes back to")
    tour.say(f"{seen['refund_amount']} sat are the buyer's, and nobody knows where to: the order says refund_needed")
    said = {"order_id": order_id, "order_token": quote["order_token"], "refund_onchain_address": somewhere(order_id)}
    tour.ask("POST", "/channel/refund_address", said, shows=("refund_needed",))
    tour.until_back(quote)
    tour.wait(order_id, "REFUNDED")
    return quote


def over(tour: Tour, rail: str, claim: str) -> dict[str, Any]:
    """The channel is as it was sold, and what was too much goes back; the quote."""
    quote = tour.buy(refund_onchain_address=somewhere("over"))
    if rail == "onchain":
        tour.send(quote, quote["total_amount"] + _TOO_MUCH_SAT)
    else:
        tour.pay(quote, more_sat=_TOO_MUCH_SAT)
    tour.wait(quote["order_id"], "PAID")
    return _until_open_and_back(tour, quote, claim)


def twice(tour: Tour, rail: str, claim: str) -> dict[str, Any]:
    """One payment buys the channel, and the other goes back; the quote."""
    quote = tour.buy(refund_onchain_address=somewhere("twice"))
    if rail == "onchain":
        tour.send(quote, quote["total_amount"])
    else:
        tour.pay(quote)
    tour.wait(quote["order_id"], "PAID")
    tour.send(quote, quote["total_amount"])
    tour.until(quote["order_id"], lambda order: len(order["onchain_payments"]) > (rail == "onchain"), "see the second")
    tour.say("paid twice: one of the two buys the channel, the other goes back")
    return _until_open_and_back(tour, quote, claim)


def _until_open(tour: Tour, quote: dict[str, Any], claim: str) -> dict[str, Any]:
    tour.claim(quote, claim)
    tour.until_open(quote)
    return quote


def _until_open_and_back(tour: Tour, quote: dict[str, Any], claim: str) -> dict[str, Any]:
    _until_open(tour, quote, claim)
    tour.blocks()
    tour.until_back(quote)
    return quote


#: By what `make buy PAY=…` says; the first two come about on chain alone.
SURPRISES: Final[dict[str, Callable[[Tour, str, str], dict[str, Any]]]] = {
    "late": late,
    "short": short,
    "over": over,
    "twice": twice,
}
ONCHAIN_ALONE: Final = frozenset({"late", "short"})
