"""Whose choice of coins a funding spends, and what happens when others are quicker."""

from __future__ import annotations

from typing import Any, cast
from uuid import uuid4

import pytest

from lightning.errors import InsufficientFunds, Rejected
from lightning.node import LndNode
from lightning.types import FeeRates, FundedPsbt, FundingRequest, Lease, Outpoint, Utxo
from orders import marks
from orders.models import ChannelOrder
from orders.openings import funding
from orders.openings.reasons import Broken, reason_of
from tests.factories import OrderFactory, txid

NESTED, NATIVE = b"\xa9\x14" + bytes(20) + b"\x87", b"\x00\x14" + bytes(20)
REQUEST = FundingRequest("bcrt1q", 100_000)


class Wallet:
    """It chooses its one nested coin, unless others are named; `quicker` are taken from under our hands."""

    def __init__(self, *native_sat: int, quicker: int = 0) -> None:
        self.native = [Utxo(Outpoint(txid(str(n)), 0), "bcrt1q", sat, 6) for n, sat in enumerate(native_sat)]
        self.nested = Utxo(Outpoint(txid("nested"), 0), "2N", 10**8, 6, is_nested=True)
        self.quicker = quicker
        self.leased: dict[Outpoint, bytes] = {}
        self.named: list[list[Outpoint]] = []
        self.chose = 0  # how often it was left to the node

    def fund_psbt(self, *, lock_id: bytes, inputs: Any = (), **_: Any) -> FundedPsbt:
        chosen = list(inputs) or [self.nested.outpoint]
        self.chose += not inputs
        if inputs:
            self.named.append(chosen)
            if self.quicker:
                self.quicker -= 1
                self.native.pop(0)
                raise Rejected("input 0 not found in list of non-locked UTXO", reason="leased_by_another")
        self.leased |= dict.fromkeys(chosen, lock_id)
        return FundedPsbt(b"", -1, tuple(map(self._lease, chosen)))

    def _lease(self, outpoint: Outpoint) -> Lease:
        script = NESTED if outpoint == self.nested.outpoint else NATIVE
        return Lease(outpoint, self.leased[outpoint], 0, script, 0)

    def leases(self) -> tuple[Lease, ...]:
        return tuple(map(self._lease, self.leased))

    def release(self, outpoint: Outpoint, *, lock_id: bytes) -> None:
        assert self.leased.pop(outpoint) == lock_id

    def fee_rates(self, *, conf_target: int, seconds: float = 15.0) -> FeeRates:
        return FeeRates(estimate_sat_per_kw=250, minimum_sat_per_kw=250)

    def coins(self, *, min_confirmations: int) -> list[Utxo]:
        return [coin for coin in [*self.native, self.nested] if coin.outpoint not in self.leased]


def drafted(wallet: Wallet) -> Any:
    order = ChannelOrder(pk=uuid4())
    funded = funding._draft(order, REQUEST, 1000, cast(LndNode, wallet))
    assert set(wallet.leased.values()) == {marks.lock_id(order.pk)}
    return funded


def test_found_a6_a_nested_coin_that_the_node_chose_is_free_again_and_native_ones_are_named() -> None:
    wallet = Wallet(90_000, 200_000)
    drafted(wallet)
    assert wallet.named == [[wallet.native[1].outpoint]]
    assert set(wallet.leased) == {wallet.native[1].outpoint}


def test_coins_that_others_were_quicker_with_are_chosen_anew() -> None:
    wallet = Wallet(150_000, 140_000, 130_000, quicker=2)
    drafted(wallet)
    assert len(wallet.named) == 3
    assert set(wallet.leased) == {wallet.native[0].outpoint}


def test_who_is_too_slow_again_and_again_waits_as_for_any_other_opening() -> None:
    wallet = Wallet(*[150_000] * 9, quicker=9)
    with pytest.raises(Broken) as caught:
        drafted(wallet)
    assert reason_of(caught.value) == "LSP_BUSY"
    assert len(wallet.named) == 3 and wallet.leased == {}


def test_found_a6_nested_coins_alone_are_too_few_and_stay_free() -> None:
    wallet = Wallet(99_000)
    with pytest.raises(InsufficientFunds):
        drafted(wallet)
    assert wallet.leased == {}


@pytest.mark.django_db
@pytest.mark.parametrize(("leased", "waits"), [([], False), ([2_000], False), ([500_000], True)])
def test_dust_by_the_hundred_is_spent_only_where_no_attempt_gives_bigger_coins_back(
    leased: list[int], waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.queries.leased_by_attempts", lambda: leased)
    wallet = Wallet(*[2_000] * 200)
    why = funding.obstacle(OrderFactory(uri_set=True), 100_000, cast(LndNode, wallet))
    assert (why == funding.COINS_LEASED) is waits


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("free", "leased", "failed", "waits"),
    [
        ([200_000], [200_000], 1, True),
        ([200_000], [200_000], 0, False),  # a first attempt has it
        ([200_000, 200_000], [200_000], 1, False),  # one is left
        ([200_000] * 2, [200_000] * 6, 1, True),  # of eight two are kept
        ([200_000] * 3, [200_000] * 5, 1, False),
        ([200_000], [], 1, False),  # nobody else is at it: who has the only coin waits for nothing
        ([200_000], [2_000], 1, False),  # what is leased would be of no use to anybody
        ([2_000] * 200, [2_000], 1, False),  # nor are these for whom they are kept
    ],
)
def test_some_of_the_coins_are_kept_for_first_attempts_while_others_may_give_theirs_back(
    free: list[int], leased: list[int], failed: int, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.queries.leased_by_attempts", lambda: leased)
    order = OrderFactory(uri_set=True, failed_openings=failed)
    why = funding.obstacle(order, 100_000, cast(LndNode, Wallet(*free)))
    assert (why == funding.COINS_KEPT) is waits


@pytest.mark.django_db
def test_who_is_too_slow_for_the_big_coin_leases_no_dust_by_the_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would have to be given back by a call of its own, while whoever waits for this peer's place waits on."""
    monkeypatch.setattr("orders.queries.leased_by_attempts", lambda: [150_000])
    wallet = Wallet(150_000, *[2_000] * 200, quicker=1)
    order = OrderFactory(uri_set=True)
    with pytest.raises(Broken) as caught:
        funding._draft(order, REQUEST, 1000, cast(LndNode, wallet))
    assert (reason_of(caught.value), caught.value.detail) == funding.COINS_LEASED
    assert (wallet.chose, len(wallet.named), wallet.leased) == (0, 1, {})


def test_where_there_is_much_dust_the_node_is_not_left_to_choose() -> None:
    wallet = Wallet(150_000, *[2_000] * 200)
    drafted(wallet)
    assert wallet.chose == 0 and wallet.named == [[wallet.native[0].outpoint]]
    assert set(wallet.leased) == {wallet.native[0].outpoint}
