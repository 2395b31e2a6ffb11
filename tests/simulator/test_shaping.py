"""Coins of other sizes: made of the wallet's own, while orders are open, and whenever our process dies."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import QuerySet

from orders import marks, reconcile
from orders.errors import NotPossible
from orders.management.commands import coins as command
from orders.models import Reservation, WalletTransaction
from orders.operations import shaping
from orders.states import Firmness, TransactionState
from orders.wallet import reshaping
from orders.wallet import transaction as machine
from tests.property.dying import Death, DyingNode
from tests.property.inside import Loop
from tests.simulator.chain_fees import USUAL_SAT_PER_KW, FeeShop, open_shop
from tests.site.documented import blocks

pytestmark = pytest.mark.django_db(transaction=True)
COIN_SAT = 5_000_000


@pytest.fixture
def shop(loop: Loop, settings: Any) -> Iterator[FeeShop]:
    with open_shop(loop, settings, coins=4, coin_sat=COIN_SAT) as shop:
        yield shop


@pytest.fixture
def small(loop: Loop, settings: Any) -> Iterator[FeeShop]:
    with open_shop(loop, settings, coins=60, coin_sat=30_000) as shop:
        yield shop


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("coins", *arguments, stdout=out)
    return out.getvalue()


def sizes(shop: FeeShop) -> list[int]:
    return sorted((coin.amount_sat for coin in shop.node.coins(min_confirmations=6)), reverse=True)


def ours() -> QuerySet[WalletTransaction]:
    return WalletTransaction.objects.filter(kind__in=["split", "consolidation"])


def until_deep(shop: FeeShop) -> WalletTransaction:
    for _ in range(8):
        shop.network.mine(1)
        reconcile.reconcile()
    [row] = ours().exclude(state=TransactionState.EXCLUDED)
    assert row.state == TransactionState.DEEP
    assert marks.shaping_lock_id() not in {lease.lock_id for lease in shop.node.leases()}
    return row


def test_what_there_is_is_told_and_nothing_is_done_without_yes(shop: FeeShop) -> None:
    said = run("--split", "3")
    assert "deep           4      20,000,000 sat  can fund channels" in said
    assert "channel that can be sold now" in said and "split" in said and "nothing was done" in said
    assert sizes(shop) == [COIN_SAT] * 4 and not ours().exists()


def test_a_coin_is_split_and_worth_what_it_was_but_the_fee(shop: FeeShop) -> None:
    assert "published" in run("--split", "4", "--each", "1000000", "--yes")
    row = until_deep(shop)
    assert sizes(shop) == [COIN_SAT] * 3 + [1_000_000] * 4 + [COIN_SAT - 4_000_000 - row.fee_sat]
    assert shop.network.lsp.look(lambda world: world.chain.fee_sat(row.txid)) == row.fee_sat


def test_small_coins_become_one_while_fees_are_low(small: FeeShop) -> None:
    with pytest.raises(CommandError, match=r"Fees are at 10.0 sat/vbyte, not below 10"):
        run("--consolidate", "--below", "10", "--yes")
    run("--consolidate", "--below", "11", "--yes")
    row = until_deep(small)
    assert sizes(small) == [60 * 30_000 - row.fee_sat]


def test_the_commands_of_the_page_are_run_as_they_stand(shop: FeeShop) -> None:
    shop.fees(500)
    shop.control.deposit(*[(shop.node.new_address(), 50_000) for _ in range(2)])
    shop.network.mine(6)
    script = "".join(block.text for block in blocks("docs/operating.md", "Coins", "sh"))
    said = [run(*shlex.split(line)[3:]) for line in script.splitlines()]
    assert [words.count("nothing was done") for words in said] == [0, 1, 1]


def test_a_second_one_waits_until_the_first_is_deep(shop: FeeShop) -> None:
    run("--split", "2", "--each", "1000000", "--yes")
    with pytest.raises(CommandError, match="not deep yet"):
        run("--split", "2", "--each", "1000000", "--yes")
    assert "under way" in run() and ours().count() == 1


def promised() -> None:
    """All orders are paid, and their nodes were reached."""
    Reservation.objects.update(firmness=Firmness.REACHED)


def test_coins_that_an_open_order_needs_are_not_taken(shop: FeeShop) -> None:
    for _ in range(3):
        shop.buy(local_balance=4_900_000)
    promised()
    run("--split", "2", "--each", "1000000", "--yes")  # of the fourth
    with pytest.raises(CommandError):
        run("--split", "2", "--each", "3000000")
    assert sizes(shop) == [COIN_SAT] * 3


def test_an_order_that_is_sold_while_coins_are_leased_keeps_them(
    shop: FeeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = reshaping.split(shaping.means(shop.node), count=2, each_sat=9_900_000, at_most_sat=0)
    lease = shaping._lease

    def sold_meanwhile(*given: Any) -> None:
        shop.buy(local_balance=15_000_000)
        promised()
        lease(*given)

    monkeypatch.setattr(shaping, "_lease", sold_meanwhile)
    with pytest.raises(NotPossible, match="Open orders need these coins now"):
        shaping.carry_out(plan, shop.node)
    assert not shop.node.leases() and not ours().exists()


def test_a_fee_above_the_ceiling_is_never_paid(shop: FeeShop) -> None:
    shop.fees(400 * USUAL_SAT_PER_KW)
    with pytest.raises(CommandError, match="MAX_FUNDING_FEE_SAT"):
        run("--split", "4", "--each", "1000000", "--yes")


def test_a_coin_that_somebody_took_while_we_were_away_is_theirs(shop: FeeShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed and not published is given up: the coin may be in an order's funding by now."""
    plan = reshaping.split(shaping.means(shop.node), count=2, each_sat=1_000_000, at_most_sat=0)
    with monkeypatch.context() as dying:
        dying.setattr(shaping, "_publish", _dies)
        with pytest.raises(Death):
            shaping.carry_out(plan, shop.node)
    [row] = ours()
    assert row.state == TransactionState.SIGNED
    [coin] = row.spends
    shop.node.release(coin, lock_id=marks.shaping_lock_id())
    shop.node.lease(coin, lock_id=b"\x07" * 32, seconds=3600)
    shaping.go_on(shop.node)
    row.refresh_from_db()
    assert row.state == TransactionState.EXCLUDED
    assert [lease.lock_id for lease in shop.node.leases()] == [b"\x07" * 32]


def test_control_without_the_second_lease_somebody_elses_coin_is_spent(
    shop: FeeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = reshaping.split(shaping.means(shop.node), count=2, each_sat=1_000_000, at_most_sat=0)
    with monkeypatch.context() as dying:
        dying.setattr(shaping, "_publish", _dies)
        with pytest.raises(Death):
            shaping.carry_out(plan, shop.node)
    [coin] = ours().get().spends
    shop.node.release(coin, lock_id=marks.shaping_lock_id())
    shop.node.lease(coin, lock_id=b"\x07" * 32, seconds=3600)
    monkeypatch.setattr(shaping, "_is_still_ours", lambda *given: True)
    shaping.go_on(shop.node)
    assert ours().get().txid in shop.control.mempool()


def _dies(*given: Any) -> None:
    raise Death


# Killed at each boundary


def killed_at(shop: FeeShop, arguments: list[str], calls: int, *, after: bool, monkeypatch: Any) -> bool:
    """The command, whose process dies at the so-manieth call to the node; False where it ends before."""
    mortal = DyingNode(shop.node, calls, after=after)
    with monkeypatch.context() as dying:
        dying.setattr(command.lightning, "node", lambda: mortal)
        try:
            run(*arguments)
        except Death:
            return True
        except CommandError:
            return False
    return False


def killed_at_commit(arguments: list[str], number: int, *, after: bool, monkeypatch: Any) -> bool:
    """As above, at what is recorded."""
    count = itertools.count(1)

    def dying(record: Any) -> Any:
        def recording(*given: Any, **named: Any) -> Any:
            mine = next(count) == number
            if mine and not after:
                raise Death
            result = record(*given, **named)
            if mine:
                raise Death
            return result

        return recording

    with monkeypatch.context() as patched:
        patched.setattr(shaping, "_record_drafted", dying(shaping._record_drafted))
        patched.setattr(machine, "signed", dying(machine.signed))
        patched.setattr(machine, "published", dying(machine.published))
        try:
            run(*arguments)
        except Death:
            return True
    return False


def assert_nothing_lost(shop: FeeShop, arguments: list[str], before_sat: int) -> None:
    """Run again it goes on; one transaction was made, and it cost its fee."""
    if shaping.under_way() is None and not ours().exists():
        run(*arguments)  # it died before anything was recorded
    row = until_deep(shop)
    assert ours().count() == 1
    assert sum(sizes(shop)) == before_sat - row.fee_sat
    labelled = [tx for tx in shop.node.transactions(from_height=0) if tx.label == row.label]
    assert [tx.txid for tx in labelled] == [row.txid]


ARGUMENTS = {
    "split": ["--split", "3", "--each", "1000000", "--yes"],
    "consolidation": ["--consolidate", "--below", "20", "--smaller-than", "6000000", "--yes"],
}
#: More than either comes to.
_CALLS = 60


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", ARGUMENTS)
@pytest.mark.parametrize(
    "calls", [n if n % 6 == 5 else pytest.param(n, marks=pytest.mark.long) for n in range(1, _CALLS)]
)
def test_killed_at_any_call_to_the_node_nothing_is_lost(
    shop: FeeShop, monkeypatch: pytest.MonkeyPatch, what: str, calls: int, after: bool
) -> None:
    before_sat = sum(sizes(shop))
    if not killed_at(shop, ARGUMENTS[what], calls, after=after, monkeypatch=monkeypatch):
        pytest.skip("it has ended before")
    assert_nothing_lost(shop, ARGUMENTS[what], before_sat)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("what", ARGUMENTS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_at_any_record_nothing_is_lost(
    shop: FeeShop, monkeypatch: pytest.MonkeyPatch, what: str, number: int, after: bool
) -> None:
    before_sat = sum(sizes(shop))
    assert killed_at_commit(ARGUMENTS[what], number, after=after, monkeypatch=monkeypatch)
    assert_nothing_lost(shop, ARGUMENTS[what], before_sat)
