"""What the simulator signs is signed: others, who know nothing of it, find every signature valid."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from bitcoinlib.transactions import Transaction

from lightning.node import LndNode
from lightning.transactions import read_transaction
from simulator import scripts
from tests.contract.conftest import Opening, credentials
from tests.regtest.network import Network
from tests.simulator.network import SimulatedNetwork


@pytest.fixture
def node(network: SimulatedNetwork) -> LndNode:
    return LndNode(credentials(network.lsp))  # type: ignore[arg-type]


def is_valid(raw: bytes, spent_sat: Sequence[int]) -> bool:
    """As bitcoinlib sees it; the simulator itself signs and looks with embit."""
    transaction = Transaction.parse_hex(raw.hex(), network="regtest")
    for spending, amount_sat in zip(transaction.inputs, spent_sat, strict=True):
        spending.value = amount_sat
    return bool(transaction.verify())


def test_a_finalised_funding_is_signed_for_each_of_its_coins(add_own) -> None:
    own = add_own(funded_sat=1_000_000, coins=5)
    opening = Opening(LndNode(credentials(own)), own.add_peer(), capacity_sat=2_500_000)
    outpoint, funded = opening.pending()
    raw = opening.node.finalize_psbt(funded.psbt).raw
    spent = [lease.amount_sat for lease in funded.leases]
    assert len(spent) == 3
    assert is_valid(raw, spent)
    assert read_transaction(raw).txid == outpoint.txid
    # And it could have been otherwise:
    assert not is_valid(raw, [amount_sat + 1 for amount_sat in spent])
    signature = bytes(Transaction.parse_hex(raw.hex(), network="regtest").inputs[0].witnesses[0])
    broken = bytearray(raw)
    broken[raw.index(signature) + 20] ^= 1
    assert not is_valid(bytes(broken), spent)


@pytest.mark.parametrize("kinds", [[False], [True], [False, True, False]], ids=["segwit", "taproot", "both"])
def test_btcd_takes_what_it_signs_into_a_block(node, network, real_network: Network, kinds: list[bool]) -> None:
    """The simulator's keys, coins of a real chain: every rule of the real script engine is asked."""
    addresses = [network.lsp.new_address(taproot=taproot) for taproot in kinds]
    txid = real_network.chain.pay([(address, 50_000) for address in addresses])
    real_network.mine(1)
    back = (scripts.script_of(node.new_address()), 45_000)
    unsigned = scripts.build([(txid, index) for index in range(len(kinds))], [back])
    psbt = scripts.make_psbt(unsigned, [(scripts.script_of(address), 50_000) for address in addresses])
    raw = node.finalize_psbt(psbt).raw
    sent = real_network.chain.send_raw(raw.hex())
    assert sent == read_transaction(raw).txid
    real_network.mine(1)
    assert real_network.chain.confirmations(sent) == 1
