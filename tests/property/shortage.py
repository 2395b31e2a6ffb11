"""A shop with few coins, and buyers who ask for more than there is."""

from __future__ import annotations

from typing import ClassVar
from unittest.mock import patch

from django.test import Client
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from orders.advance import advance
from orders.openings import opening
from tests.property import scarcity, witness
from tests.property.dying import Death
from tests.property.machine import HOUR, Purchases, which
from tests.simulator.network import SimulatedPeer

MOST_RIVALS = 6
USUAL_SAT_PER_KW = 2_530
#: Where nobody is there.
DEAD = "dead"

addresses = st.sampled_from(["203.0.113.1", "203.0.113.2", "198.18.0.1"])
sizes_sat = st.sampled_from([900_000, 1_900_000, 2_800_000, 3_900_000])
rails = st.sampled_from(["lightning", "lightning", "lightning", "onchain", ""])
seen = st.sampled_from([True, True, False])
destinations = st.sampled_from(["buyer", "alice", DEAD, None])


class Shortage(Purchases):
    """As any shop; but three coins, six orders, and fees that leap."""

    coins: ClassVar[dict[str, int]] = {"coins": 3, "coin_sat": 2_000_000}
    windows: ClassVar[tuple[int, ...]] = (60, 7 * HOUR, 31 * 24 * HOUR)
    # They show nothing of it, and every step that shows nothing makes the search longer.
    buy = pay = web_dies_while_it_sells = unclaim = customer_closes = replace_a_deposit = None  # type: ignore[assignment]
    fees_move = time_passes = reorganise = customer_behaves = None  # type: ignore[assignment]
    engines_turn = engine_dies_at_a_look = None  # type: ignore[assignment]

    def __init__(self) -> None:
        witness.forget()
        super().__init__()
        self.network.customers[DEAD] = SimulatedPeer(self.network.lsp, DEAD, presence="offline")

    @initialize(rails=st.lists(rails, max_size=3), node=destinations)
    def first_orders(self, rails: list[str], node: str | None) -> None:
        """Most of the coins are asked for, or held, or bought."""
        for rail in rails:
            self.rival_buys("203.0.113.1", 1_900_000, node, rail, True)

    def first_order(self, node: str | None, rail: str) -> None:
        """They were the first."""

    def node_restarts(self) -> None:
        """At the end only."""
        Purchases.node_restarts(self)  # type: ignore[arg-type]

    # Buyers

    @precondition(lambda self: len(self.quotes) < MOST_RIVALS)
    @rule(address=addresses, sat=sizes_sat, node=destinations, rail=rails, seen=seen)
    def rival_buys(self, address: str, sat: int, node: str | None, rail: str, seen: bool) -> None:
        self.shop.client = Client(REMOTE_ADDR=address)
        answer = self.ask_to_buy(sat, 0, node)
        assert answer.status_code in {200, 429, 503}, answer.content
        if answer.status_code != 200:
            return
        self.quotes.append(answer.json())
        self.rival_pays(len(self.quotes) - 1, rail, seen)

    @precondition(lambda self: self.quotes)
    @rule(number=which, rail=rails, seen=seen)
    def rival_pays(self, number: int, rail: str, seen: bool) -> None:
        if rail == "lightning":
            Purchases.pay(self, number, 1, False, 0)
        if rail == "onchain":
            self.deposit(number, 0, False)
        if seen:
            self.pass_of_engines()

    @precondition(lambda self: self.quotes)
    @rule(number=which)
    def claim_for_the_dead(self, number: int) -> None:
        self.claim(number, DEAD, None, False, True)

    # Fees, the clock

    @rule(times=st.sampled_from([300, 300, 20, 1]), minimum=st.sampled_from([253, 253, 2_000]))
    def fees_leap(self, times: int, minimum: int) -> None:
        self.control.set_fees(times * USUAL_SAT_PER_KW, minimum, evict=False)

    @rule(seconds=st.sampled_from([6, 301, 301, 20 * 60, 2 * HOUR]))
    def waits(self, seconds: int) -> None:
        Purchases.time_passes(self, seconds)

    # Our engines

    @precondition(lambda self: self.quotes)
    @rule(number=which)
    def one_order_is_looked_at(self, number: int) -> None:
        advance(self.shop.order(self.quote(number)).pk)

    @precondition(lambda self: self.quotes)
    @rule(number=which)
    def engine_dies_as_it_begins(self, number: int) -> None:
        """The node was reached, and no attempt is recorded: no call is between the two."""
        try:
            with patch.object(opening, "_intend", side_effect=Death):
                advance(self.shop.order(self.quote(number)).pk)
        except Death:
            note("  it died")
        self.forget()

    # What must be true

    @invariant()
    def who_goes(self) -> None:
        self.checked(scarcity.check_who_goes, witness.told())

    def go_on_while_it_helps(self) -> None:
        super().go_on_while_it_helps()
        self.checked(scarcity.check_gone)

    def come_to_rest(self) -> None:
        super().come_to_rest()
        self.who_goes()
        self.checked(scarcity.check_back, witness.told())
