"""The books beside the node's wallet: each transaction of ours to the satoshi, and others' are no alarm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from lightning.types import ChainTransaction, Outpoint
from orders import actors
from orders.auditing import checking, correcting, wallet
from orders.books import recounting
from orders.errors import NotPossible
from orders.models import (
    ChannelOpening,
    ChannelOrder,
    Entry,
    WalletTransaction,
)
from orders.models import Node as NodeRow
from orders.states import OpeningState, TransactionState
from tests.booking import CLIENT, COINS, LSP, TOTAL, balances, carry, ours, theirs
from tests.booking import WalletNode as Node
from tests.factories import OrderFactory
from tests.scripted import BLOCK, mined, unmined

pytestmark = pytest.mark.django_db


# What was sold


def look(node: Node) -> checking.Report:
    return checking.check(node)  # type: ignore[arg-type]


def sold() -> tuple[ChannelOrder, ChainTransaction]:
    """An open channel, and its funding in the wallet."""
    order = OrderFactory(open=True)
    opening = order.openings.get()
    change = 3_000_000 - opening.capacity_sat - 2_000
    outputs = [theirs(0, opening.capacity_sat), ours(1, change)]
    tx = mined(opening.transaction.txid, confirmations=9, outputs=outputs, inputs=[Outpoint("c0" * 32, 0)])
    return order, tx


def test_a_funding_is_in_the_wallet_as_in_the_books_and_what_others_did_is_no_alarm() -> None:
    _, funding = sold()
    carry()
    report = look(Node(COINS, funding))
    assert report.adds_up and report.node is not None
    assert (report.node.wrong, report.node.difference_sat, report.node.unsettled_sat) == ([], 0, 0)
    assert report.node.categories == {"not_ours": (1, 3_000_000), "funding": (1, -LSP - CLIENT - 2_000)}


def test_a_satoshi_that_the_funding_cost_beside_what_we_know_is_found() -> None:
    _, funding = sold()
    carry()
    short = replace(funding, outputs=(funding.outputs[0], ours(1, funding.outputs[1].amount_sat - 1)))
    report = look(Node(COINS, short))
    assert not report.adds_up and report.node is not None
    (wrong,) = report.node.wrong
    assert (wrong.txid, wrong.category) == (funding.txid, "funding")
    assert wrong.wallet_sat == wrong.booked_sat - 1
    assert funding.txid[:16] in checking.words(report)


def test_what_our_records_call_deep_and_the_wallet_has_not_got_is_found() -> None:
    sold()
    carry()
    report = look(Node(COINS))
    assert not report.adds_up and report.node is not None
    assert [(each.category, each.wallet_sat) for each in report.node.wrong] == [("missing", None)]


def test_what_is_not_deep_yet_is_counted_and_no_alarm() -> None:
    _, funding = sold()
    WalletTransaction.objects.update(state=TransactionState.PUBLISHED)
    ChannelOpening.objects.update(state=OpeningState.PUBLISHED)
    carry()
    assert look(Node(COINS, replace(funding, confirmations=2))).adds_up
    gone = look(Node(COINS))
    assert gone.adds_up and gone.node is not None
    assert gone.node.unsettled_sat == LSP + CLIENT + 2_000


def test_coins_that_no_transaction_explains_are_found() -> None:
    node = Node(COINS)
    node.besides_sat = 7
    report = look(node)
    assert not report.adds_up and report.node is not None
    assert report.node.difference_sat == 7
    assert "+7 sat" in checking.words(report)


def test_a_label_of_ours_without_a_row_is_found() -> None:
    order = OrderFactory(uri_set=True)
    carry()
    lost = mined("fa" * 32, confirmations=9, label=f"funding:{order.pk}", inputs=[Outpoint("c0" * 32, 0)])
    report = look(Node(COINS, lost))
    assert report.node is not None
    assert [(each.category, each.booked_sat) for each in report.node.wrong] == [("astray", 0)]


def correct(node: Node, of: str, reason: str = "seen with the explorer") -> int:
    return correcting.correct(of, reason=reason, node=node, actor=actors.command("root"))  # type: ignore[arg-type]


def test_a_person_who_has_seen_why_can_end_that_and_the_books_keep_who_and_why() -> None:
    order = OrderFactory(uri_set=True)
    carry()
    lost = mined("fa" * 32, confirmations=9, label=f"funding:{order.pk}", inputs=[Outpoint("c0" * 32, 0)])
    node = Node(COINS, lost)
    with pytest.raises(NotPossible, match="reason"):
        correct(node, lost.txid, " ")
    assert correct(node, lost.txid) == -3_000_000
    assert look(node).adds_up and balances(order)["losses"] == 3_000_000
    assert Entry.objects.get(kind="correction").words == "seen with the explorer (command:root)"
    with pytest.raises(NotPossible, match="what the wallet has"):
        correct(node, lost.txid)


def test_what_the_wallet_will_never_have_can_be_corrected_too() -> None:
    order, funding = sold()
    carry()
    assert correct(Node(COINS), funding.txid) == LSP + CLIENT + 2_000
    assert look(Node(COINS)).adds_up
    assert recounting.differences() == ([], 0) and balances(order)["losses"] < 0


def test_what_moves_while_the_wallet_is_read_is_read_again_and_is_no_alarm() -> None:
    class Busy(Node):
        """Another transaction comes each time that somebody lists the coins."""

        reads = 0

        def coins(self, *, min_confirmations: int) -> Any:
            self.reads += 1
            come = mined(f"{self.reads:02}" * 32, confirmations=1, height=800, outputs=[ours(0, 5)])
            if self.reads <= self.most:
                self.wallet[come.txid] = come
            return super().coins(min_confirmations=min_confirmations)

        most = 99

    always, once = Busy(COINS), Busy(COINS)
    once.most = 1
    report = look(always)
    assert always.reads == 2 * 3 and report.adds_up and report.node is not None and report.node.unmined
    report = look(once)
    assert once.reads == 2 * 2 and report.adds_up and report.node is not None and not report.node.unmined


def test_what_staff_sent_back_by_hand_is_told_and_is_no_alarm() -> None:
    order = OrderFactory(expired=True)
    sent = mined("fa" * 32, confirmations=9, label=f"refund {order.pk}", inputs=[Outpoint("c0" * 32, 0)])
    report = look(Node(COINS, sent))
    assert report.adds_up and report.node is not None
    assert report.node.categories[wallet.Category.BY_HAND] == (1, -3_000_000)


def test_a_deposit_that_has_no_row_is_found_and_what_came_beside_one_is_not_ours() -> None:
    order = OrderFactory(paid_onchain=True)
    deposit = order.onchain_payments.get()
    outputs = [ours(0, 400), ours(1, deposit.amount_sat, str(order.deposit_address))]
    there = mined(deposit.txid, confirmations=9, outputs=outputs)
    NodeRow.objects.update(deposits_height=there.block_height)
    carry()
    report = look(Node(COINS, there))
    assert report.adds_up and report.node is not None
    assert report.node.categories == {"not_ours": (2, 3_000_400), "deposit": (1, TOTAL)}
    more = replace(there, outputs=(*outputs, ours(2, 90, str(order.deposit_address))))
    assert [each.wallet_sat for each in (look(Node(COINS, more)).node or report.node).wrong] == [TOTAL + 90]


@pytest.mark.parametrize(("read_blocks_less", "adds_up"), [(0, False), (1, True)])
def test_a_deposit_that_came_while_nothing_of_ours_ran_is_no_alarm_before_it_was_read(
    read_blocks_less: int, adds_up: bool
) -> None:
    order = OrderFactory()
    there = mined("de" * 32, confirmations=9, outputs=[ours(0, TOTAL, str(order.deposit_address))])
    NodeRow.objects.update(deposits_height=there.block_height - read_blocks_less)
    report = look(Node(COINS, there))
    assert report.adds_up is adds_up and report.node is not None
    assert report.node.unsettled_sat == (TOTAL if adds_up else 0)


def test_a_child_that_pays_for_a_funding_is_booked_once_it_is_deep_and_once() -> None:
    order, funding = sold()
    WalletTransaction.objects.update(bumped_at=timezone.now())
    carry()
    change = funding.outputs[1].amount_sat
    child = unmined("cd" * 32, label="0:sweep", outputs=[ours(0, change - 900)], inputs=[Outpoint(funding.txid, 1)])
    shallow = look(Node(COINS, funding, child))
    assert shallow.adds_up and shallow.node is not None and shallow.node.unsettled_sat == -900
    assert not Entry.objects.filter(kind="child").exists()
    deep = replace(child, confirmations=9, block_height=799, block_hash=BLOCK)
    for _ in range(2):
        report = look(Node(COINS, funding, deep))
        assert report.adds_up and report.node is not None and report.node.unsettled_sat == 0
    assert Entry.objects.get(kind="child").order == order
    assert balances(order)["chain_fees"] == 2_900


def test_what_somebody_sends_of_a_bumped_fundings_change_is_not_ours() -> None:
    _, funding = sold()
    WalletTransaction.objects.update(bumped_at=timezone.now())
    carry()
    change = funding.outputs[1].amount_sat
    sent = mined("cd" * 32, confirmations=9, label="external", outputs=[ours(0, change - 900)],
                 inputs=[Outpoint(funding.txid, 1)])  # fmt: skip
    report = look(Node(COINS, funding, sent))
    assert report.adds_up and report.node is not None
    assert report.node.categories[wallet.Category.NOT_OURS] == (2, 3_000_000 - 900)


def closing(order: ChannelOrder, *, close_type: str = "cooperative_close") -> ChainTransaction:
    """The close of its channel, of which 700,000 sat come back for a fee of 500."""
    opening = order.openings.get()
    ChannelOpening.objects.update(closing_txid="c1" * 32, close_height=780, close_type=close_type)
    rest = opening.capacity_sat - 700_000 - 500
    outputs = [ours(0, 700_000), theirs(1, rest)]
    return mined("c1" * 32, confirmations=9, outputs=outputs, inputs=[Outpoint(opening.transaction.txid, 0)])


def test_a_close_brings_back_what_is_ours_costs_its_fee_and_the_rest_has_gone_by_lightning() -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    carry()
    report = look(Node(COINS, funding, closing(order)))
    assert report.adds_up, checking.words(report)
    found = balances(order)
    assert found["close_costs"] == 500 and "channels" not in found
    assert found["wallet"] == 700_000 - LSP - CLIENT - 2_000
    assert found["lightning"] == TOTAL + LSP - 700_500
    assert look(Node(COINS, funding, closing(order))).adds_up and balances(order) == found


def test_a_forced_close_is_swept_to_its_last_child() -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    close = replace(closing(order), outputs=(theirs(0, 700_000), theirs(1, LSP + CLIENT - 700_500)))
    sweep = mined("5e" * 32, confirmations=8, outputs=[theirs(0, 699_000)], inputs=[Outpoint(close.txid, 0)])
    last = mined("5f" * 32, confirmations=7, outputs=[ours(0, 698_000)], inputs=[Outpoint(sweep.txid, 0)])
    carry()
    report = look(Node(COINS, funding, last, sweep, close))
    assert report.adds_up and report.node is not None
    assert report.node.categories[wallet.Category.SWEEP] == (2, 698_000)
    found = balances(order)
    assert found["close_costs"] == 500 + 1_000 + 1_000 and "channels" not in found


def test_a_channel_that_never_was_is_a_loss() -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    ChannelOpening.objects.update(close_height=780, close_type="funding_canceled")
    carry()
    look(Node(COINS, funding))
    assert balances(order)["losses"] == LSP


def test_a_block_that_is_in_the_chain_no_more_books_nothing_and_alarms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    order, funding = sold()
    ChannelOrder.objects.update(state="closed")
    carry()
    stale = replace(closing(order), block_hash="00" * 32)
    node = Node(COINS, funding, stale)
    report = look(node)
    assert report.adds_up and not Entry.objects.filter(kind="close").exists()
