"""Lives of the wallet's coins: staff run `manage.py coins`, whose process dies, and the worker goes on with it."""

from __future__ import annotations

from django.db.models import QuerySet

from orders import marks
from orders.models import SHAPING, WalletTransaction
from orders.operations import shaping
from orders.states import TransactionState
from simulator.world import World
from tests.chaos.lives import Life, Sale
from tests.chaos.mortal import COINS

SPLIT = ("--split", "3", "--each", "700000", "--yes")
CONSOLIDATE = ("--consolidate", "--below", "50", "--smaller-than", "6000000", "--yes")
_MOST_RUNS = 10
_KINDS = tuple(f"{kind}:" for kind in SHAPING)


def split(sale: Sale) -> None:
    """Of one coin three."""
    _run(sale, SPLIT)
    _reshaped(sale, SPLIT)


def consolidated(sale: Sale) -> None:
    """Of all coins one."""
    _run(sale, CONSOLIDATE)
    _reshaped(sale, CONSOLIDATE)


def split_again_at_once(sale: Sale) -> None:
    """Whoever runs it does not wait for what becomes of the first."""
    for _ in range(2):
        _run(sale, SPLIT)
    _reshaped(sale, SPLIT)


def split_while_selling(sale: Sale) -> None:
    """An order's funding wants the same coins in the same moment."""
    sale.pay(sale.buy("buyer", 4_900_000))
    _run(sale, SPLIT)
    sale.delivered()
    _reshaped(sale, SPLIT)


def _run(sale: Sale, arguments: tuple[str, ...]) -> None:
    sale.processes.begin(COINS, *arguments)
    sale.until(lambda: not sale.processes.lives(COINS), "the command has ended")


def _reshaped(sale: Sale, arguments: tuple[str, ...]) -> None:
    """The transaction is deep. Run once more where nothing has come of it, and only then: it died, or was refused, as
    the worker looked in that moment whether something is under way.
    """
    for _ in range(_MOST_RUNS):
        _at_rest(sale)
        if _ours().exclude(state=TransactionState.EXCLUDED).exists():
            return
        _run(sale, arguments)


def _at_rest(sale: Sale) -> None:
    def rests() -> bool:
        leased = sale.network.lsp.look(lambda world: world.wallet.active_leases(world.now()).values())
        mine = [lease for lease in leased if lease.lock_id == marks.shaping_lock_id()]
        return shaping.under_way() is None and not mine

    sale.until(rests, "nothing of the reshaping is under way, and nothing leased", mining=True)


def _ours() -> QuerySet[WalletTransaction]:
    return WalletTransaction.objects.filter(kind__in=SHAPING)


def check_reshaped(world: World) -> None:
    """One transaction, deep, of coins that nothing else spends; and of what was given up nothing is in the chain."""
    deep = [row for row in _ours() if row.state == TransactionState.DEEP]
    rest = [row.state for row in _ours() if row not in deep]
    assert len(deep) == 1 and set(rest) <= {TransactionState.EXCLUDED}, f"{len(deep)} are deep, the others {rest}"
    chain, labels = world.chain, world.wallet.labels
    there = [txid for txid, label in labels.items() if label.startswith(_KINDS)]
    assert there == [deep[0].txid], f"{len(there)} were published: {there}"
    assert there[0] in chain.mined
    for coin in deep[0].spends:
        assert chain.spenders[coin.txid, coin.index] == there[0], f"{coin} was spent otherwise"


RESHAPING: dict[str, Life] = {
    life.__name__: life for life in (split, consolidated, split_again_at_once, split_while_selling)
}
