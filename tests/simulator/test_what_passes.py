"""What the node says for a moment, or has not read yet, is kept as no fact."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from lightning.node import LndNode
from orders import reconcile
from orders.models import ChannelOrder, Node, NodeSnapshot, OnchainPayment
from orders.states import DepositState
from simulator.control import Control
from tests.e2e.shop import Shop
from tests.e2e.test_blocks import *  # noqa: F403
from watch import doctor
from watch.doctor import Health

#: More than what is read again behind the height that was read.
MANY_BLOCKS = 10


@pytest.fixture
def control(shop: Shop) -> Iterator[Control]:
    """The shop's node follows its chain as it should, afterwards."""
    yield shop.network.lsp.control  # type: ignore[attr-defined]
    shop.network.lsp.control.set_synced(True)  # type: ignore[attr-defined]


def asked_to_buy(shop: Shop) -> int:
    body = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4}
    return int(shop.client.post("/channel/buy", body, content_type="application/json").status_code)


def last_seen(**changes: Any) -> None:
    NodeSnapshot.objects.update(**changes)


# Synced


def test_found_d1_a_flag_that_is_down_for_a_moment_at_each_block_refuses_nobody(shop: Shop, control: Control) -> None:
    reconcile.look(shop.node)
    control.set_synced(True, doubts_at_block=1000)
    for _ in range(3):
        control.mine(1)
        reconcile.look(shop.node)
        assert not NodeSnapshot.objects.get().synced_to_chain
        assert asked_to_buy(shop) == 200


def test_found_d1_the_doctor_asks_again_before_it_raises_an_alarm(shop: Shop, control: Control) -> None:
    control.set_synced(True, doubts_at_block=2)
    control.mine(1)
    found = {finding.name: finding.health for finding in doctor.thorough(shop.node)}
    assert found["chain"] is Health.OK
    reconcile.look(shop.node)
    control.mine(1)
    reconcile.look(shop.node)
    assert {finding.name: finding.health for finding in doctor.quick()}["node_seen"] is Health.OK


def test_found_d1_a_node_that_is_behind_for_long_sells_nothing_until_it_says_otherwise(
    shop: Shop, control: Control
) -> None:
    control.set_synced(False)
    reconcile.look(shop.node)
    long_ago = timezone.now() - timedelta(minutes=5)
    last_seen(at=long_ago, synced_at=long_ago)
    assert asked_to_buy(shop) == 503
    assert {finding.name: finding.health for finding in doctor.quick()}["node_seen"] is Health.FAILURE
    control.set_synced(True)
    last_seen(at=timezone.now() - timedelta(seconds=10))  # fresh, and it says that the node is behind
    assert asked_to_buy(shop) == 200


def test_found_d1_a_node_that_was_never_seen_synced_sells_nothing(shop: Shop, control: Control) -> None:
    control.set_synced(False)
    assert asked_to_buy(shop) == 503


def test_addresses_that_a_starting_node_does_not_name_are_those_it_named_before(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconcile.look(shop.node)
    info = shop.node.info()
    monkeypatch.setattr(LndNode, "info", lambda self: type(info)(**(_fields(info) | {"uris": ()})))
    reconcile.look(shop.node)
    assert NodeSnapshot.objects.get().uris == list(info.uris)
    assert shop.get("/node/info")["node_info"]["uris"] == list(info.uris)


def _fields(info: Any) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__slots__}


# Deposits


def deposits(quote: dict[str, Any]) -> list[str]:
    return list(OnchainPayment.objects.filter(order=quote["order_id"]).values_list("state", flat=True))


def pays_while_the_wallet_sleeps(shop: Shop, control: Control, quote: dict[str, Any]) -> None:
    """The deposit is in a block that the wallet has not read, and many more follow."""
    control.set_synced(True, wallet_waits=True)
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    control.mine(MANY_BLOCKS)


def test_found_a8_a_deposit_in_blocks_that_the_wallet_reads_late_is_counted(shop: Shop, control: Control) -> None:
    quote = shop.buy()
    shop.turn()
    pays_while_the_wallet_sleeps(shop, control, quote)
    shop.turn()
    assert deposits(quote) == []
    control.set_synced(True)
    shop.turn()
    assert deposits(quote) == [DepositState.CONFIRMED]
    assert shop.seen(quote)["state_name"] == "PAID"


def test_found_a8_no_order_ends_unpaid_by_a_wallet_that_has_not_read_the_blocks(shop: Shop, control: Control) -> None:
    quote = shop.buy()
    shop.turn()
    pays_while_the_wallet_sleeps(shop, control, quote)
    now = timezone.now()
    for _ in range(2):
        ChannelOrder.objects.filter(pk=quote["order_id"]).update(expires_at=now, due_at=now)
        shop.turn()
    assert shop.seen(quote)["state_name"] == "CREATED"
    control.set_synced(True)
    shop.turn()
    assert shop.seen(quote)["state_name"] == "PAID"


def test_found_a8_no_deposit_has_vanished_because_the_wallet_has_not_read_its_block(
    shop: Shop, control: Control
) -> None:
    """As after its transactions were reset: it reads all blocks anew."""
    quote = shop.buy()
    shop.network.chain.send(quote["btc_address"], quote["total_amount"])
    control.mine(1)
    shop.turn()
    assert deposits(quote) == [DepositState.CONFIRMED]
    control.set_synced(True, wallet_waits=True)
    control.mine(1)
    OnchainPayment.objects.update(txid="ab" * 32)  # which the wallet does not tell
    shop.turn()
    assert deposits(quote) == [DepositState.CONFIRMED, DepositState.CONFIRMED]


def test_found_a8_what_was_missed_all_the_same_is_found_within_the_hour(
    shop: Shop, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    quote = shop.buy()
    shop.turn()
    pays_while_the_wallet_sleeps(shop, control, quote)
    control.set_synced(True)
    now, height = timezone.now(), shop.node.info().block_height
    Node.objects.update(deposits_height=height, deposits_reread_at=now)  # whatever has led to it
    shop.turn()
    assert deposits(quote) == []
    Node.objects.update(deposits_reread_at=now - timedelta(hours=1, seconds=1))
    shop.turn()
    assert deposits(quote) == [DepositState.CONFIRMED]
    assert "was not seen when its block was read" in caplog.text
    caplog.clear()
    Node.objects.update(deposits_reread_at=None)
    shop.turn()
    assert "was not seen" not in caplog.text  # what is known is not found anew
    assert Node.objects.get().deposits_reread_at is not None
