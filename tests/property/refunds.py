"""Everything that can happen to a shop whose buyers pay on chain: too late, too little, too much, twice."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from embit import bech32
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from orders import actors
from orders.errors import OrderError
from orders.operations import refunding
from simulator import scripts
from tests.property import records
from tests.property.machine import MOST_ORDERS, Purchases, nodes

which = st.integers(0, MOST_ORDERS - 1)
ADA = actors.staff("ada")


def somewhere(name: object) -> str:
    """An address of somebody's that is none of our node's."""
    return str(bech32.encode("bcrt", 0, sha256(str(name).encode()).digest()[:20]))


class Refunds(Purchases):
    """As the other shop, and buyers say where money goes back to: at purchase, later, never, or another place."""

    says_address = True

    @initialize(node=nodes, says=st.booleans())
    def first_order(self, node: str | None, says: bool) -> None:
        self.says_address = says
        self.buy(300_000, 50_000, node, "none")

    def ask_to_buy(self, local_sat: int, remote_sat: int, node: str | None) -> Any:
        body: dict[str, Any] = {"local_balance": local_sat, "remote_balance": 50_000, "channel_expiry": 4}
        if node:
            body["node_uri"] = self.network.customers[node].p2p_address
        if self.says_address:
            body["refund_onchain_address"] = somewhere(f"purchase {len(self.quotes)}")
        return self.shop.client.post("/channel/buy", body, content_type="application/json")

    @rule(says=st.booleans())
    def next_buyers_say(self, says: bool) -> None:
        self.says_address = says

    @precondition(lambda self: self.quotes)
    @rule(number=which, place=st.integers(1, 2))
    def say_address(self, number: int, place: int) -> None:
        quote = self.quote(number)
        where = somewhere(f"{quote['order_id']} {place}")
        assert self.post_address(quote, where, order_token=quote["order_token"]) in {200, 409}

    @precondition(lambda self: self.quotes)
    @rule(number=which)
    def stranger_says_address(self, number: int) -> None:
        self.post_address(self.quote(number), somewhere("stranger"))

    def post_address(self, quote: dict[str, Any], where: str, **shown: str) -> int:
        body = {"order_id": quote["order_id"], "refund_onchain_address": where, **shown}
        answer = self.shop.client.post("/channel/refund_address", body, content_type="application/json")
        return int(answer.status_code)

    @precondition(lambda self: self.quotes)
    @rule(number=which, percent=st.sampled_from([1, 40, 100, 100, 160, 200]), replaceable=st.booleans())
    def deposit_some(self, number: int, percent: int, replaceable: bool) -> None:
        """Too little, enough, too much, or for the second time."""
        quote = self.quote(number)
        self.deposit(number, quote["total_amount"] * percent // 100 - quote["total_amount"], replaceable)

    @rule(hours=st.sampled_from([2, 31 * 24]))
    def windows_end(self, hours: int) -> None:
        self.time_passes(hours * 3600)

    @rule()
    def deposits_become_final(self) -> None:
        for _ in range(2):
            self.network.mine(3)
            records.hurry()
            self.pass_of_engines()

    @precondition(lambda self: self.quotes)
    @rule(number=which, keeps=st.booleans())
    def staff_keep_or_release(self, number: int, keeps: bool) -> None:
        order_id = self.shop.order(self.quote(number)).pk
        try:
            if keeps:
                refunding.keep(order_id, reason="he asked us to wait", actor=ADA)
            else:
                refunding.release(order_id, actor=ADA)
        except OrderError as error:
            note(f"  refused: {error}")

    @invariant()
    def no_stranger_is_paid(self) -> None:
        self.see_who_was_paid()

    def come_to_rest(self) -> None:
        super().come_to_rest()
        self.see_who_was_paid()  # most goes back only now, and no step is left whose invariants would see it

    def see_who_was_paid(self) -> None:
        paid = self.facts().paid.get(scripts.script_of(somewhere("stranger")), [])
        self.checked(_is_nothing, paid)


def _is_nothing(paid: list[int]) -> None:
    assert not paid, f"a stranger was paid {paid}"
