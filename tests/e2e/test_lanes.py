"""Dead hosts on a real node, with the settings as they come: who is honest waits for none of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from orders.models import HoldInvoice
from tests.e2e.shop import Shop
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

DEAD = 30


def test_behind_thirty_dead_hosts_an_honest_buyer_gets_his_channel_at_once(
    shop: Shop, add_own: Callable[..., Any], server_environment: dict[str, str], tmp_path: Path
) -> None:
    wallet = add_own()
    with swallowing() as host, process(by_default(server_environment), tmp_path / "streams.log", "run_streams"):
        hostile, honest = paid(shop, DEAD, client="hostile"), paid(shop, 1, client="honest")
        until(lambda: all_recorded([*hostile, *honest]), "all payments are recorded", timeout=60)
        claim_all(shop, hostile, dead(DEAD, host))
        [quote] = honest
        shop.claim(quote, wallet)
        took = seconds(lambda: begun(honest) == 1, "the honest opening began", timeout=30)
        [late] = paid(shop, 1, client="late")
        recording = seconds(lambda: all_recorded([late]), "a held payment was recorded", timeout=30)
        print(f"an opening began after {took:.1f} s, a held payment was recorded after {recording:.1f} s")
        assert failed(hostile) == 0  # each of them is still waited for
        until(lambda: failed(hostile) == DEAD, "they are given up for now", timeout=60)
        assert begun(hostile) == 0
        assert max(oldest_heartbeat_seconds().values()) < 70
        until(lambda: shop.order(quote).state == "opening", "the channel is being opened", timeout=30)
        shop.network.mine(6)
        until(lambda: shop.order(quote).state == "open", "the channel is open", timeout=60)
    shop.assert_delivered(quote, wallet)
    for payment_hash in HoldInvoice.objects.exclude(order=quote["order_id"]).values_list("payment_hash", flat=True):
        shop.node.cancel_invoice(payment_hash)  # the node is not ours alone
