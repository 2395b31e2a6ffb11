"""Dead hosts and silent peers at a real node, with the settings as they come: who is honest waits for none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from orders import marks
from orders.models import ChannelOpening, HoldInvoice
from orders.wallet import coins
from tests.e2e.shop import Shop
from tests.regtest.silent import silent_peers
from tests.regtest.waiting import until
from tests.strangers import (
    all_recorded,
    begun,
    by_default,
    claim_all,
    dead,
    failed,
    oldest_heartbeat_seconds,
    paid,
    process,
    seconds,
    swallowing,
)

#: Hosts that swallow packets, and peers that stall: half of them at our offer, half when they should sign.
FEW, MANY = (30, 4), (70, 24)
#: More than stall, for those: who stalls leases one.
COINS, EACH_SAT = 30, 2_000_000


def funded(quotes: Sequence[dict[str, Any]]) -> int:
    """How many of these had a transaction that waits for the peer's signature."""
    ids = [quote["order_id"] for quote in quotes]
    return ChannelOpening.objects.filter(order__in=ids, transaction__isnull=False).values("order").distinct().count()


@pytest.mark.parametrize(("count", "stalling"), [FEW, pytest.param(*MANY, marks=pytest.mark.long)], ids=["few", "many"])
def test_behind_dead_hosts_and_peers_that_stall_an_honest_buyer_gets_his_channel_at_once(
    shop: Shop,
    add_own: Callable[..., Any],
    server_environment: dict[str, str],
    tmp_path: Path,
    count: int,
    stalling: int,
) -> None:
    if (count, stalling) == MANY:
        shop.network.fund(shop.network.lsp, COINS * EACH_SAT, COINS, depth=6)
    wallet = add_own()
    with (
        swallowing() as host,
        silent_peers(stalling) as silent,
        process(by_default(server_environment), tmp_path / "streams.log", "run_streams"),
    ):
        hostile, honest = paid(shop, count + stalling, client="hostile"), paid(shop, 1, client="honest")
        until(lambda: all_recorded([*hostile, *honest]), "all payments are recorded", timeout=60)
        claim_all(shop, hostile, [*dead(count, host), *silent])
        [quote] = honest
        shop.claim(quote, wallet)
        took = seconds(lambda: begun(honest) == 1, "the honest opening began", timeout=30)
        [late] = paid(shop, 1, client="late")
        recording = seconds(lambda: all_recorded([late]), "a held payment was recorded", timeout=30)
        print(f"an opening began after {took:.1f} s, a held payment was recorded after {recording:.1f} s")
        assert failed(hostile[:count]) == 0  # each of them is still waited for
        until(lambda: failed(hostile[:count]) == count, "they are given up for now", timeout=90)
        until(lambda: begun(hostile[count:]) == stalling, "each that stalls had its attempt", timeout=60)
        assert begun(hostile) == stalling and funded(hostile) == stalling // 2
        assert max(oldest_heartbeat_seconds().values()) < 70
        until(lambda: shop.order(quote).state == "opening", "the channel is being opened", timeout=30)
        shop.network.mine(6)
        until(lambda: shop.order(quote).state == "open", "the channel is open", timeout=60)
    shop.assert_delivered(quote, wallet)
    left_to_others(shop, hostile)
    for payment_hash in HoldInvoice.objects.exclude(order=quote["order_id"]).values_list("payment_hash", flat=True):
        shop.node.cancel_invoice(payment_hash)


def left_to_others(shop: Shop, quotes: Sequence[dict[str, Any]]) -> None:
    """No coin of the node is leased for these orders, whose attempts ended with the process: it is not ours alone."""
    for quote in quotes:
        coins.release(marks.lock_id(UUID(quote["order_id"])), shop.node)
    shop.network.mine(6)  # what has become change is deep
