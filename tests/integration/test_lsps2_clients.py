"""What a wallet that ships asks of an offer before it buys: Alby Hub's rules, as a table. Nobody pays here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from orders.models import JitPurchase, NodeSnapshot, Service
from tests.integration.lsps2 import TOO_SMALL, buy, menu, open_shop

_HOUR, _MINUTE = 3_600, 60
BOUGHT, TOO_DEAR, DEARER, BEYOND, NOTHING, REFUSED = (
    "bought",
    "too dear",
    "dearer than seen",
    "beyond",
    "0 sat",
    "refused",
)


@pytest.fixture(autouse=True)
def shop(db: None, settings: Any, snapshot: NodeSnapshot) -> Service:
    return open_shop(settings, snapshot)


def chain_costs(sat_per_kw: int) -> None:
    NodeSnapshot.objects.update(estimate_sat_per_kw=sat_per_kw)


@dataclass
class Hub:
    """It keeps the limits for an hour, and for a minute the menu, whose dearest entry bounds what it lets itself be
    charged; a fee must be 5,000 sat at most, or a tenth of the payment. It reckons for itself.
    """

    now: int = 0
    _limits: tuple[int, tuple[int, int]] | None = None
    _seen: tuple[int, list[dict[str, Any]]] | None = None
    paid_msat: list[int] = field(default_factory=list)

    def receives(self, sat: int) -> str:
        """What becomes of its wish for an invoice of so much."""
        least, most = self._kept_limits()
        if not least <= sat * 1000 <= most:
            return BEYOND
        worst_msat = max(fee_msat(entry, sat * 1000) for entry in self._kept_menu())
        entry = min(menu(), key=lambda each: fee_msat(each, sat * 1000))
        asked_msat = fee_msat(entry, sat * 1000)
        answer = buy(entry, payment_size_msat=str(sat * 1000))
        if "error" in answer:
            assert answer["error"]["code"] == TOO_SMALL
            return REFUSED
        if asked_msat > max(5_000_000, sat * 100):
            return TOO_DEAR
        if asked_msat > worst_msat:
            return DEARER
        return BOUGHT if sat * 1000 - asked_msat >= 1_000 else NOTHING

    def _kept_limits(self) -> tuple[int, int]:
        if self._limits is None or self.now - self._limits[0] >= _HOUR:
            [entry] = menu()
            sizes = int(entry["min_payment_size_msat"]), int(entry["max_payment_size_msat"])
            self._limits = self.now, sizes
        return self._limits[1]

    def _kept_menu(self) -> list[dict[str, Any]]:
        if self._seen is None or self.now - self._seen[0] >= _MINUTE:
            self._seen = self.now, menu()
        return self._seen[1]


def fee_msat(entry: dict[str, Any], payment_msat: int) -> int:
    """As bLIP-52's formula has it."""
    share = -(-payment_msat * int(entry["proportional"]) // 1_000_000)
    return max(int(entry["min_fee_msat"]), share)


#: The chain's price (sat/kWU), the payment (sat), what comes of it. At 253 the least fee is 2,725 sat; from 2,816 on it
#: is above 5,000, and the smallest payment ten times as much.
OFFERS: Final = [
    (253, 9_999, BEYOND), (253, 10_000, BOUGHT), (253, 1_000_000, BOUGHT), (253, 4_000_000, BOUGHT),
    (253, 4_000_001, BEYOND),
    (2_500, 10_000, BOUGHT), (2_500, 50_000, BOUGHT), (2_500, 2_000_000, BOUGHT),
    (2_815, 10_000, BOUGHT), (2_816, 10_000, BEYOND), (2_816, 49_999, BEYOND), (2_816, 50_010, BOUGHT),
    (10_000, 50_000, BEYOND), (10_000, 113_800, BOUGHT), (10_000, 113_799, BEYOND),
    (50_000, 469_000, BOUGHT), (50_000, 468_999, BEYOND), (250_000, 2_245_000, BOUGHT), (250_000, 2_244_999, BEYOND),
]  # fmt: skip


@pytest.mark.parametrize(("sat_per_kw", "sat", "ends"), OFFERS)
def test_alby_hub_buys_whatever_is_offered_and_nothing_that_it_calls_too_dear(
    sat_per_kw: int, sat: int, ends: str
) -> None:
    chain_costs(sat_per_kw)
    assert Hub().receives(sat) == ends
    assert JitPurchase.objects.count() == (ends == BOUGHT)


#: What the chain cost when it looked, what it costs so many seconds later, the payment, and what comes of it.
LATER: Final = [
    (2_500, 2_500, 1, 100_000, BOUGHT), (2_500, 253, 1, 100_000, BOUGHT), (2_500, 253, 3_599, 100_000, BOUGHT),
    (2_500, 2_800, 59, 100_000, DEARER), (2_500, 2_800, 60, 100_000, BOUGHT),
    (2_500, 2_800, 59, 3_000_000, BOUGHT),  # its share is more than the floor, and that does not move
    (2_500, 10_000, 60, 20_000, REFUSED),  # offered by the limits that it has kept, and not any more
    (2_500, 10_000, 3_600, 20_000, BEYOND), (2_500, 10_000, 60, 113_800, BOUGHT),
    (10_000, 2_500, 60, 20_000, BEYOND), (10_000, 2_500, 3_600, 20_000, BOUGHT),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "seconds", "sat", "ends"), LATER)
def test_alby_hub_buys_by_what_it_has_kept_of_the_menu(
    before: int, after: int, seconds: int, sat: int, ends: str
) -> None:
    hub = Hub()
    chain_costs(before)
    hub.receives(1_000_000)
    hub.now += seconds
    chain_costs(after)
    assert hub.receives(sat) == ends


def test_control_without_a_smallest_payment_that_bears_the_fee_alby_hub_calls_it_too_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("orders.jit.selling._ALWAYS_FAIR_SAT", 10**9)
    chain_costs(10_000)
    assert Hub().receives(50_000) == TOO_DEAR


def test_an_offer_outlives_an_invoice_of_alby_hubs(settings: Any) -> None:
    """It writes invoices of a day at most."""
    assert settings.LSPS2_VALID_SECONDS >= 24 * _HOUR
