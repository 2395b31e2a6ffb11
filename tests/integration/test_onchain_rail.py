"""The on-chain rail is there wherever money that it brings can go back; and what may have to go back is not sold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lightning.errors import NodeUnavailable
from orders import queries, reconcile
from orders.causes import FlagKind
from orders.errors import NotPossible
from orders.models import ChannelOrder, NodeSnapshot, Refund, Reservation, Service
from orders.operations import shaping
from orders.payments import onchain
from orders.states import RefundState
from tests.factories import DepositFactory, OrderFactory, SnapshotFactory
from tests.fakes import FakeNode, regtest_address
from tests.integration.conftest import Api
from tests.refunding import RefundFactory
from tests.scripted import ScriptedNode

HEARING = "/lnrpc.Lightning/SubscribeTransactions"
SPENDABLE_SAT, ANCHORS_SAT = 100_000_000, 10_000
DEEP_HEIGHT = 795  # six deep at 800


def without(node: FakeNode, *refused: str) -> None:
    node.allows = lambda method: method not in refused  # type: ignore[method-assign]


# Offered


def test_on_mainnet_buyers_are_asked_to_pay_on_chain_too(api: Api, settings: Any) -> None:
    settings.LND_NETWORK = "mainnet"
    assert api.buy().said["btc_address"]


def test_who_has_switched_it_off_gives_no_address(api: Api, settings: Any) -> None:
    settings.ONCHAIN_ENABLED = False
    said = api.buy().said
    assert said["btc_address"] is None and said["ln_invoice"]


def test_a_macaroon_without_its_rights_leaves_it_off_and_the_shop_sells_on(api: Api, node: FakeNode) -> None:
    without(node, HEARING)
    said = api.buy().said
    assert said["btc_address"] is None and said["ln_invoice"]
    assert ChannelOrder.objects.get().deposit_address is None


def test_a_service_that_takes_nothing_else_says_that_it_is_off(api: Api, node: FakeNode) -> None:
    without(node, HEARING)
    Service.objects.update(accepts_lightning=False)
    answer = api.buy()
    assert (answer.status_code, answer.said["code"]) == (503, "not_available")
    assert "on-chain payments only" in answer.said["error"] and not ChannelOrder.objects.exists()


def test_the_start_says_once_that_it_is_off_and_why(
    db: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_said", set())
    node = ScriptedNode()
    without(node, HEARING)
    for _ in range(2):
        reconcile._say_once_what_is_off(node)  # type: ignore[arg-type]
    assert [record.getMessage() for record in caplog.records] == [
        f"on-chain payments are not offered: the macaroon does not allow {HEARING} (`manage.py doctor` says more)"
    ]


def test_what_was_paid_on_chain_before_is_flagged_where_a_right_is_missing_that_would_send_it_back(
    transactional_db: None,
) -> None:
    """A loop that nobody hears of would keep the buyer's money for ever."""
    SnapshotFactory()
    order = OrderFactory(expired=True, refund_address=regtest_address(3))
    RefundFactory(order=order)
    node = ScriptedNode()
    node.fails_at["transactions"] = NodeUnavailable("permission denied", reason="PERMISSION_DENIED")
    onchain.finish_return(order.pk, node)  # type: ignore[arg-type]
    [flag] = order.flags.all()
    assert (flag.kind, Refund.objects.get().state) == (FlagKind.REFUND_STUCK, RefundState.DUE)
    assert "manage.py doctor" in flag.words


def test_coins_of_other_sizes_are_not_begun_without_their_rights(db: None) -> None:
    node: Any = ScriptedNode()
    without(node, "/walletrpc.WalletKit/PublishTransaction")
    with pytest.raises(NotPossible, match="PublishTransaction"):
        shaping.carry_out(None, node)  # type: ignore[arg-type]
    assert not node.calls


# Kept out of what is sold


@pytest.fixture
def total_sat(db: None) -> Callable[[], int]:
    """What there is to sell, after anything was done."""
    SnapshotFactory(spendable_sat=SPENDABLE_SAT, required_reserve_sat=ANCHORS_SAT)
    return lambda: queries.stock(NodeSnapshot.objects.get()).total_sat + ANCHORS_SAT - SPENDABLE_SAT


def test_nothing_is_kept_where_nothing_is_owed(total_sat: Callable[[], int]) -> None:
    assert total_sat() == 0


def test_a_reserve_of_staffs_and_what_is_owed_are_not_both_kept(total_sat: Callable[[], int], settings: Any) -> None:
    RefundFactory(amount_sat=60_000)
    assert total_sat() == -60_000
    settings.REFUND_RESERVE_SAT = 50_000
    assert total_sat() == -60_000
    settings.REFUND_RESERVE_SAT = 70_000
    assert total_sat() == -70_000


def test_a_deposit_that_bought_nothing_is_not_sold_from_when_it_is_deep_until_its_refund_is_due(
    total_sat: Callable[[], int], settings: Any
) -> None:
    order = OrderFactory(expired=True)
    deposit = DepositFactory(order=order, amount_sat=80_000, block_height=None, confirmations=0, state="seen")
    assert total_sat() == 0  # in no block: it is in no coin that we sell
    deposit.state, deposit.block_height = "confirmed", DEEP_HEIGHT + 1
    deposit.save()
    assert total_sat() == 0
    deposit.block_height = DEEP_HEIGHT
    deposit.save()
    assert total_sat() == -80_000
    RefundFactory(order=order, amount_sat=80_000)
    assert total_sat() == -80_000  # once


def test_where_younger_coins_fund_channels_younger_deposits_are_kept(
    total_sat: Callable[[], int], settings: Any
) -> None:
    settings.FUNDING_MIN_CONFS = 1
    DepositFactory(order=OrderFactory(expired=True), amount_sat=80_000, block_height=800, confirmations=1)
    assert total_sat() == -80_000


def test_a_deposit_whose_order_has_its_coins_promised_is_not_kept_besides(total_sat: Callable[[], int]) -> None:
    for order in (OrderFactory(paid_onchain=True), OrderFactory(paid_onchain=True, state="give_up", node_pubkey="02")):
        order.onchain_payments.update(block_height=DEEP_HEIGHT)
    unpaid = OrderFactory()
    DepositFactory(order=unpaid, block_height=DEEP_HEIGHT)
    Reservation.objects.filter(order=unpaid).update(firmness="firm")
    assert total_sat() == 0


def test_a_deposit_is_kept_out_of_what_is_sold_though_another_refund_of_its_order_is_proposed(
    total_sat: Callable[[], int],
) -> None:
    order = OrderFactory(give_up=True, invoice__state="settled")
    DepositFactory(order=order, amount_sat=80_000, block_height=DEEP_HEIGHT)
    RefundFactory(order=order, proposed=True, amount_sat=50_000)
    assert total_sat() == -80_000


def test_what_staff_have_returned_by_hand_is_not_kept_for_ever(total_sat: Callable[[], int]) -> None:
    order = OrderFactory(rejected=True, state="refunded")
    order.onchain_payments.update(block_height=DEEP_HEIGHT - 2)
    assert total_sat() == 0
