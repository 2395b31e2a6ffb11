"""Deposits in no block, on a real chain: what the mempool says of them keeps coins, or does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chain import connection as chain_connection
from chain.access import Access
from chain.errors import ChainUnavailable
from chain.node import ChainNode
from chain.packages import Package, Paid
from lightning import connection
from lightning.node import LndNode
from lightning.types import FeeRates
from orders.models import OnchainPayment, Reservation
from orders.payments.onchain import foreseeing
from tests.e2e.shop import Shop
from tests.regtest.bitcoin import OURS, Coin, Output, script_of, spend_ours
from tests.regtest.btcd import Btcd
from tests.regtest.waiting import until
from watch.doctor import Health, examination

GOOD_FEE_SAT = 100_000
POOR_FEE_SAT = 1_000
#: Ten satoshis a vbyte: what btcd makes of the blocks of a test is anything.
RATE = 2_500


def url_of(chain: Btcd) -> str:
    return f"https://{chain.rpc_user}:{chain.rpc_password}@127.0.0.1:{chain.rpc_port}"


@pytest.fixture
def foreseeing_shop(shop: Shop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    chain = shop.network.chain
    monkeypatch.setattr(LndNode, "fee_rates", lambda self, *, conf_target: FeeRates(RATE, 253))
    settings.CHAIN_RPC, settings.CHAIN_RPC_CERT = url_of(chain), str(chain.certificate)
    foreseeing._source.cache_clear()
    yield shop
    foreseeing._source.cache_clear()
    if chain.mempool():
        shop.network.mine(1)


class Payer:
    """Pays with a coin of the chain's own, at the fee that he likes; every input may be replaced."""

    def __init__(self, chain: Btcd) -> None:
        self.chain = chain
        self.coin = chain._coin(10**7)

    def sends(self, address: str, amount_sat: int, fee_sat: int, *, of: Coin | None = None) -> str:
        coin = of or self.coin
        change = Output(OURS, coin.amount_sat - amount_sat - fee_sat)
        raw = spend_ours([coin], [Output(script_of(address), amount_sat), change], replaceable=True)
        return self.chain.send_raw(raw)

    def takes_back(self, fee_sat: int) -> str:
        """All of it to himself."""
        return self.chain.send_raw(self.raw_back(fee_sat))

    def raw_back(self, fee_sat: int) -> str:
        """The same, to be put into a block."""
        return spend_ours([self.coin], [Output(OURS, self.coin.amount_sat - fee_sat)], replaceable=True)


def firmness(shop: Shop, quote: dict[str, Any]) -> str:
    shop.turn()
    return Reservation.objects.get(order=quote["order_id"]).firmness


def is_seen(shop: Shop, quote: dict[str, Any]) -> None:
    until(lambda: shop.turn() or shop.seen(quote)["onchain_payments"], "the wallet has seen it")


def asked_again() -> None:
    OnchainPayment.objects.update(ask_at=None)


def test_a_deposit_with_a_good_fee_keeps_coins_at_once_and_counts_in_its_block(foreseeing_shop: Shop) -> None:
    shop = foreseeing_shop
    quote = shop.buy()
    Payer(shop.network.chain).sends(quote["btc_address"], quote["total_amount"], GOOD_FEE_SAT)
    is_seen(shop, quote)
    assert firmness(shop, quote) == "coming"
    assert shop.order(quote).state == "created"
    shop.network.mine(1)
    shop.run(quote, "paid")
    assert firmness(shop, quote) == "firm"


def test_control_without_a_chain_source_it_keeps_none_until_its_block(shop: Shop) -> None:
    quote = shop.buy()
    Payer(shop.network.chain).sends(quote["btc_address"], quote["total_amount"], GOOD_FEE_SAT)
    is_seen(shop, quote)
    assert firmness(shop, quote) == "quoted"
    shop.network.mine(1)
    shop.run(quote, "paid")


def test_a_fee_that_will_not_confirm_it_keeps_none(foreseeing_shop: Shop) -> None:
    shop = foreseeing_shop
    quote = shop.buy()
    Payer(shop.network.chain).sends(quote["btc_address"], quote["total_amount"], POOR_FEE_SAT)
    is_seen(shop, quote)
    assert firmness(shop, quote) == "quoted"


def test_control_whoever_believes_every_fee_keeps_coins_for_it(
    foreseeing_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Package, "pays", lambda package, rate: True)
    shop = foreseeing_shop
    quote = shop.buy()
    Payer(shop.network.chain).sends(quote["btc_address"], quote["total_amount"], POOR_FEE_SAT)
    is_seen(shop, quote)
    assert firmness(shop, quote) == "coming"


def test_a_poor_parent_in_no_block_is_counted_with_a_good_fee(foreseeing_shop: Shop) -> None:
    shop = foreseeing_shop
    payer = Payer(shop.network.chain)
    quote = shop.buy()
    parent = shop.network.chain.send_raw(
        spend_ours([payer.coin], [Output(OURS, payer.coin.amount_sat - 200)], replaceable=True)
    )
    coin = Coin(parent, 0, payer.coin.amount_sat - 200)
    payer.sends(quote["btc_address"], quote["total_amount"], 2_000, of=coin)
    is_seen(shop, quote)
    assert firmness(shop, quote) == "quoted"
    package = chain_connection.node().package(OnchainPayment.objects.get(order=quote["order_id"]).txid)
    assert package.itself.surplus_sat(RATE) > 0 and len(package.ancestors) == 1


def test_one_that_is_replaced_gives_back_what_was_kept_for_it(foreseeing_shop: Shop) -> None:
    """LND's wallet still lists it, and goes on doing so when the rival is in a block and pays somebody else."""
    shop = foreseeing_shop
    payer = Payer(shop.network.chain)
    quote = shop.buy()
    made = payer.sends(quote["btc_address"], quote["total_amount"], GOOD_FEE_SAT)
    is_seen(shop, quote)
    assert firmness(shop, quote) == "coming"
    payer.takes_back(3 * GOOD_FEE_SAT)
    assert made not in shop.network.chain.mempool()
    asked_again()
    assert firmness(shop, quote) == "quoted"
    assert shop.node.transaction(made).confirmations == 0
    shop.network.mine(1)


def test_what_btcd_answers_to_the_calls_that_it_shares_with_bitcoin_core(shop: Shop) -> None:
    chain = shop.network.chain
    node = ChainNode(Access.parse(url_of(chain), str(chain.certificate)))
    payer = Payer(chain)
    txid = payer.sends("bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85", 10**6, 5_000)
    weight = chain.transaction(txid)["weight"]
    assert node.package(txid) == Package(Paid(weight, 5_000))
    assert (node.height(), node.block_hash(0)) == (chain.height, connection.node().block_hash(0))
    shop.network.mine(1)
    assert node.package(txid) is None
    with pytest.raises(ChainUnavailable):
        ChainNode(Access.parse(url_of(chain).replace("https", "http"))).height()


def test_the_doctor_sees_whether_the_source_is_there_and_on_the_nodes_chain(
    foreseeing_shop: Shop, settings: Any
) -> None:
    def told() -> tuple[Health, str]:
        finding = examination._chain_source(connection.node(), connection.node().info())
        return finding.health, finding.seen

    assert told()[0] is Health.OK
    settings.CHAIN_RPC = settings.CHAIN_RPC.replace(foreseeing_shop.network.chain.rpc_password, "wrong")
    assert told() == (Health.WARNING, "it refuses our user and password")
