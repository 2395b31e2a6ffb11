"""Who can call the API can ask for everything: who pays gets the coins all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lightning import reaching
from orders import queries
from orders.admission import rules
from orders.models import NodeSnapshot, Reservation, Service
from orders.openings import committing, opening
from tests.property.inside import Loop
from tests.property.test_interleavings import QuickClock
from tests.simulator.siege import FIVE_MINUTES, MILLION, Siege, honest

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]
#: Attacking addresses, and how many quotes each asks for here: by default it may have twenty.
SIEGES = {1: 20, 20: 2, 50: 1, 200: 1}
HONEST = 10
#: Those of a run that is no long one.
FEW = 4


@pytest.fixture
def siege(loop: Loop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Siege]:
    settings.LND_NETWORK = "regtest"
    settings.BUY_RATE = settings.CLAIM_RATE = settings.READ_RATE = "100000/min"
    clock = QuickClock()
    monkeypatch.setattr(reaching, "monotonic", clock.monotonic)
    monkeypatch.setattr(reaching, "sleep", clock.sleep)
    monkeypatch.setattr(opening, "NEGOTIATE_SECONDS", 1)
    monkeypatch.setattr(committing, "PENDING_SECONDS", 1)
    Service.objects.all().delete()
    Service.objects.create()
    running = Siege(loop)
    lsp = running.network.lsp
    settings.LND_GRPC = lsp.grpc_address
    settings.LND_TLS_CERT, settings.LND_MACAROON = str(lsp.tls_certificate), str(lsp.admin_macaroon)
    running.turn()
    yield running
    running.stop()


HUNDREDS = [(addresses, 100, claimed) for addresses in (1, 20, 200) for claimed in (False, True)]
MANY = [(1, 20, False), (20, 20, True), (50, 20, False), (200, 20, False), *HUNDREDS]
LONG = [pytest.param(*size, HONEST, marks=pytest.mark.long) for size in MANY]


@pytest.mark.parametrize(
    ("addresses", "payments", "claimed", "buyers"), [(1, 20, False, FEW), (20, 20, True, FEW), *LONG]
)
def test_found_a1_who_pays_and_names_his_node_gets_his_channel_each_time(
    siege: Siege, addresses: int, payments: int, claimed: bool, buyers: int
) -> None:
    siege.hold(addresses, payments, claimed=claimed)
    siege.take_unpaid(addresses, SIEGES[addresses])
    assert queries.stock(NodeSnapshot.objects.get()).room_sat < MILLION
    assert [siege.at_once(number) for number in range(buyers)] == [True] * buyers


@pytest.mark.parametrize(("addresses", "payments", "claimed", "buyers"), [(20, 20, True, FEW), *LONG])
def test_found_a1_who_takes_his_time_gets_it_nearly_always_or_his_payment_back_at_once(
    siege: Siege, addresses: int, payments: int, claimed: bool, buyers: int
) -> None:
    siege.hold(addresses, payments, claimed=claimed)
    siege.take_unpaid(addresses, SIEGES[addresses])
    came_to = [siege.slowly(number) for number in range(buyers)]
    assert came_to.count("channel") >= buyers - 1, came_to
    assert set(came_to) <= {"channel", "back in time"}, came_to


@pytest.mark.parametrize("guard", [True, False])
def test_few_large_payments_within_their_time_keep_no_small_one_out(
    siege: Siege, monkeypatch: pytest.MonkeyPatch, guard: bool
) -> None:
    """Control: whoever was first keeps all for five minutes, and others after him."""
    if not guard:
        monkeypatch.setattr(rules, "_take_largest", lambda *_: None)
    siege.hold(20, 20)
    quote = siege.buy(honest(0))
    siege.pay(quote)
    siege.see(quote)
    siege.wait(6)
    assert siege.is_back(quote) is not guard
    if guard:
        siege.wait(FIVE_MINUTES - 7)
        assert siege.claim(quote, siege.buyer) == 200
        siege.see(quote)
        assert siege.has_channel(quote)


def test_found_a1_an_attacker_who_pays_anew_has_no_time_of_his_own_for_an_hour(siege: Siege) -> None:
    """Each payment of his that goes back is followed by another."""
    siege.hold(20, 20)
    siege.wait(FIVE_MINUTES + 1)
    came_to = []
    for number in range(2):
        came_to.append(siege.slowly(number))
        siege.hold(20, 20)
    assert came_to == ["channel"] * 2


def test_control_without_eviction_held_payments_keep_everybody_out(
    siege: Siege, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "who_goes", lambda *_, **__: [])
    siege.hold(200, 20)
    assert not siege.at_once(0)


def test_control_where_quotes_promise_coins_nobody_else_is_quoted(
    siege: Siege, monkeypatch: pytest.MonkeyPatch
) -> None:
    def promising(self: Any) -> int:
        quoted = Reservation.objects.filter(firmness="quoted", released_at=None)
        return int(self.total_sat - sum(quoted.values_list("value_sat", flat=True)))

    monkeypatch.setattr(queries.Stock, "available_sat", property(promising))
    siege.take_unpaid(1, 20)
    assert siege.ask(honest(0), 16 * MILLION - 10_000).status_code == 503


def test_found_a2_all_that_is_available_can_be_sold_to_one_who_pays(siege: Siege) -> None:
    sizes = [16 * MILLION - 1_000] * 6 + [3 * MILLION]  # of 99.9 million
    quotes = [siege.buy(honest(0), size) for size in sizes]
    for quote in quotes:
        siege.pay(quote)
        assert siege.see(quote).reservation.firmness == "held", quote
    assert siege.ask(honest(0), MILLION).status_code == 200  # who pays and is reached goes before the unclaimed
    assert [siege.claim(quote, siege.buyer) for quote in quotes] == [200] * 7
    assert NodeSnapshot.objects.get().spendable_sat == 100 * MILLION


def test_a_node_that_answers_and_opens_nothing_keeps_no_coins(siege: Siege) -> None:
    stalling = siege.network.customers["alice"]
    stalling.change(refusal="no channels today")
    quote = siege.buy(honest(5))
    siege.pay(quote)
    siege.see(quote)
    siege.claim(quote, stalling.p2p_address)
    siege.see(quote)
    assert siege.order(quote).openings.count() == 1
    assert siege.order(quote).reservation.firmness == "held"
    siege.see(quote)
    assert siege.order(quote).reservation.firmness == "held"


def test_who_is_evicted_is_told_why_and_has_his_payment_back_without_grace(siege: Siege) -> None:
    held = siege.hold(200, 20, claimed=True)
    siege.turn()  # each was dialled in vain
    siege.wait(FIVE_MINUTES + 1)
    assert siege.at_once(0)
    siege.turn()
    back = [quote for quote in held if siege.is_back(quote)]
    assert back
    order = siege.order(back[0])
    assert order.give_up_reason == "COINS_PROMISED_ELSEWHERE"
    assert "gave_way" in order.events.values_list("cause", flat=True)
