"""Which coins a node spends: of its own choice, or of ours; and which it only lists."""

from __future__ import annotations

import os
from typing import Any

import pytest

from lightning.errors import InsufficientFunds, Rejected
from lightning.node import LndNode
from lightning.transactions import read_psbt, read_transaction
from lightning.types import FundedPsbt, Outpoint, Utxo
from tests.contract.conftest import HOUR, credentials
from tests.regtest.waiting import until

OWN_SAT = 300_000
#: More than all else: what lnd takes first.
BIG_SAT = 5_000_000


@pytest.fixture
def small(add_node) -> Any:
    """A node whose wallet has one coin of OWN_SAT."""
    return add_node(funded_sat=OWN_SAT)


@pytest.fixture
def wallet(small) -> LndNode:
    return LndNode(credentials(small))


@pytest.fixture
def lock_id() -> bytes:
    return os.urandom(32)


def fund(wallet: LndNode, lock_id: bytes, amount_sat: int, **changed: Any) -> FundedPsbt:
    values = {"sat_per_kw": 1000, "min_confirmations": 1, "lease_seconds": HOUR}
    return wallet.fund_psbt(address=wallet.new_address(), amount_sat=amount_sat, lock_id=lock_id, **(values | changed))


def receive(network, wallet: LndNode, address: str, amount_sat: int) -> None:
    """The coin is one block deep, and the wallet knows it."""
    network.chain.pay([(address, amount_sat)])
    network.mine(1)

    def is_there() -> bool:
        outputs = [each for tx in wallet.transactions(from_height=0) if tx.confirmations for each in tx.outputs]
        return any((each.address, each.ours) == (address, True) for each in outputs)

    until(is_there, "the wallet has seen it", timeout=20)


def coins(wallet: LndNode) -> list[Utxo]:
    return sorted(wallet.coins(min_confirmations=1), key=lambda coin: coin.amount_sat)


def test_coins_of_an_imported_key_are_not_counted_and_never_spent(network, small, wallet, lock_id):
    receive(network, wallet, small.watch_address(), BIG_SAT)
    assert [coin.amount_sat for coin in coins(wallet)] == [OWN_SAT]
    assert [coin.amount_sat for coin in wallet.foreign_coins(wallet.coins(min_confirmations=0))] == [BIG_SAT]
    with pytest.raises(InsufficientFunds):
        fund(wallet, lock_id, OWN_SAT + 1)


def test_a_nested_coin_is_counted_named_so_and_chosen_like_any_other(network, small, wallet, lock_id):
    receive(network, wallet, small.new_address(nested=True), BIG_SAT)
    assert [(coin.amount_sat, coin.is_nested) for coin in coins(wallet)] == [(OWN_SAT, False), (BIG_SAT, True)]
    funded = fund(wallet, lock_id, 50_000)
    assert [lease.is_nested for lease in funded.leases] == [True]
    with pytest.raises(ValueError, match="neither P2WPKH nor P2TR"):
        read_psbt(funded.psbt)


def test_a_nested_coin_is_signed_and_confirms_under_another_id_than_it_was_drafted_with(
    network, small, wallet, lock_id
):
    """As it should be when staff send such coins to a native address."""
    receive(network, wallet, small.new_address(nested=True), BIG_SAT)
    raw = wallet.finalize_psbt(fund(wallet, lock_id, 50_000).psbt).raw
    wallet.publish(raw, label="moved")
    network.mine(1)
    txid = read_transaction(raw).txid
    until(lambda: wallet.transaction(txid).confirmations == 1, "it is mined")


@pytest.mark.parametrize("taproot", [False, True], ids=["segwit", "taproot"])
def test_the_inputs_that_we_name_are_spent_and_no_other(network, small, wallet, lock_id, taproot):
    receive(network, wallet, small.new_address(nested=True), BIG_SAT)
    receive(network, wallet, small.new_address(taproot=taproot), 200_000)
    chosen = [coin.outpoint for coin in coins(wallet) if not coin.is_nested]
    funded = fund(wallet, lock_id, 400_000, inputs=chosen)
    assert {lease.outpoint for lease in funded.leases} == set(chosen) == set(read_psbt(funded.psbt).inputs)
    assert {lease.lock_id for lease in funded.leases} == {lock_id}
    change = read_psbt(funded.psbt).outputs[funded.change_index][1]
    assert 95_000 < change < 100_000
    signed = wallet.finalize_psbt(funded.psbt)
    assert read_transaction(signed.raw).txid == read_psbt(funded.psbt).txid
    wallet.publish(signed.raw, label="funding:order")
    network.mine(1)
    until(lambda: wallet.transaction(read_psbt(funded.psbt).txid).confirmations == 1, "it is mined")


def test_named_inputs_that_do_not_suffice_fund_nothing_and_stay_free(wallet, lock_id):
    [own] = coins(wallet)
    with pytest.raises(InsufficientFunds):
        fund(wallet, lock_id, OWN_SAT, inputs=[own.outpoint])
    assert coins(wallet) == [own]


def test_a_named_input_that_is_leased_or_not_the_wallets_is_refused(wallet, lock_id):
    [own] = coins(wallet)
    wallet.lease(own.outpoint, lock_id=os.urandom(32), seconds=HOUR)
    for outpoint in (own.outpoint, Outpoint("ab" * 32, 0)):
        with pytest.raises(Rejected) as caught:
            fund(wallet, lock_id, 50_000, inputs=[outpoint])
        assert caught.value.reason == "leased_by_another"


def test_a_named_input_that_is_not_so_deep_is_refused(wallet, lock_id):
    [own] = coins(wallet)
    with pytest.raises(Rejected) as caught:
        fund(wallet, lock_id, 50_000, inputs=[own.outpoint], min_confirmations=own.confirmations + 100)
    assert caught.value.reason == "leased_by_another"
