"""What is for sale is what can be spent for it: coins that fund no channel are not counted, and stop nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lightning.node import LndNode
from orders import queries, reconcile
from orders.models import NodeSnapshot
from tests.e2e.shop import Shop
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until
from watch import doctor

OWN_SAT = 300_000
#: More than any other coin of a test's node: what lnd would take first.
BIG_SAT = 500_000_000
STRANGER = b"\x02" * 32


def receive(shop: Shop, address: str, amount_sat: int) -> None:
    """The coin is deep, and the wallet knows it."""
    shop.network.chain.pay([(address, amount_sat)])
    shop.network.mine(6)

    def is_there() -> bool:
        return any(each.address == address for tx in shop.node.transactions(from_height=0) for each in tx.outputs)

    until(is_there, "the wallet has seen it")


def small_node(settings: Any, add_own: Callable[..., Any]) -> Any:
    """The shop sells from a node with one coin of OWN_SAT."""
    lsp = add_own(funded_sat=OWN_SAT)
    settings.LND_GRPC, settings.LND_TLS_CERT = lsp.grpc_address, str(lsp.tls_certificate)
    settings.LND_MACAROON = str(lsp.admin_macaroon)
    return lsp


def refused(shop: Shop, capacity_sat: int) -> bool:
    """For lack of coins."""
    body = {"local_balance": capacity_sat, "remote_balance": 0, "channel_expiry": 4}
    answer = shop.client.post("/channel/buy", body, content_type="application/json")
    return (answer.status_code, answer.json().get("code")) == (503, "not_available")


def told(shop: Shop, name: str) -> str:
    """What the doctor has seen."""
    return next(finding.seen for finding in doctor.thorough(shop.node) if finding.name == name)


def test_found_a5_coins_that_are_only_watched_are_not_for_sale(
    shop: Shop, settings: Any, add_own: Callable[..., Any]
) -> None:
    lsp = small_node(settings, add_own)
    receive(shop, lsp.watch_address(), BIG_SAT)
    reconcile.look(shop.node)
    assert NodeSnapshot.objects.get().spendable_sat == OWN_SAT
    assert told(shop, "coins").startswith(f"1 deep coins, {OWN_SAT:,} sat")
    assert told(shop, "reserve").startswith(f"{OWN_SAT:,} sat in the wallet")
    assert refused(shop, 10_000_000)


def test_found_a6_nested_coins_are_not_for_sale_and_the_doctor_says_what_to_do(
    shop: Shop, settings: Any, add_own: Callable[..., Any]
) -> None:
    lsp = small_node(settings, add_own)
    receive(shop, lsp.new_address(nested=True), BIG_SAT)
    reconcile.look(shop.node)
    assert NodeSnapshot.objects.get().spendable_sat == OWN_SAT
    assert told(shop, "nested_coins").startswith(f"{BIG_SAT:,} sat in 1")
    assert told(shop, "reserve").startswith(f"{OWN_SAT + BIG_SAT:,} sat in the wallet")  # closes they can pay for
    assert refused(shop, 10_000_000)


@pytest.fixture
def nested(shop: Shop) -> Iterator[None]:
    """The shop's node has a nested coin, the biggest of all; afterwards it is a native one."""
    receive(shop, shop.network.lsp.new_address(nested=True), BIG_SAT)
    yield
    moved = shop.node.fund_psbt(
        address=shop.node.new_address(), amount_sat=BIG_SAT - 10_000, sat_per_kw=1000, min_confirmations=1,
        lock_id=STRANGER, lease_seconds=60,
    )  # fmt: skip
    assert [lease.is_nested for lease in moved.leases] == [True]
    shop.node.publish(shop.node.finalize_psbt(moved.psbt).raw, label="moved")
    shop.network.mine(1)


def inputs_of(shop: Shop, quote: dict[str, Any]) -> list[bytes]:
    """The scripts that the order's funding spends."""
    transaction = shop.opening(quote).transaction
    assert transaction is not None
    return [bytes.fromhex(script) for _, _, script in transaction.inputs]


def test_found_a6_a_nested_coin_stops_no_opening(shop: Shop, nested: None) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote, private=True)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert all(not script.startswith(b"\xa9\x14") for script in inputs_of(shop, quote))
    order = shop.order(quote)
    assert (order.openings.count(), order.failed_openings, order.needs_staff) == (1, 0, False)


@contextmanager
def natives_leased(node: LndNode) -> Iterator[None]:
    """To somebody else: only nested coins are free."""
    coins = [coin.outpoint for coin in node.coins(min_confirmations=0) if not coin.is_nested]
    for coin in coins:
        node.lease(coin, lock_id=STRANGER, seconds=600)
    yield
    for coin in coins:
        node.release(coin, lock_id=STRANGER)


def test_found_a6_with_nothing_but_nested_coins_left_the_order_waits_and_staff_are_told(
    shop: Shop, nested: None
) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    with natives_leased(shop.node):
        shop.claim(quote, private=True)
        until(lambda: shop.turn() or shop.order(quote).last_failure_reason, "it cannot be opened")
        order = queries.order_or_raise(shop.order(quote).pk)
        assert (order.state, order.last_failure_reason) == ("uri_set", "INSUFFICIENT_FUNDS")
        assert order.needs_staff and order.openings.count() == 0
        [postponed] = order.events.filter(cause="opening_postponed")
        assert f"{BIG_SAT} sat lie in nested ones" in postponed.facts["detail"]
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
