"""The wallet of a node: what is leased, signed, published and found again."""

from __future__ import annotations

import os
from typing import Any

import pytest

from lightning.errors import InsufficientFunds, NodeUnavailable, NotFound, OutcomeUnknown, Rejected
from lightning.node import LndNode
from lightning.transactions import (
    address_script,
    check_address,
    conflict_psbt,
    psbt_input_values,
    read_psbt,
    read_transaction,
)
from lightning.types import FundedPsbt, Outpoint, SignedPsbt, Utxo
from tests.contract.conftest import HOUR, credentials
from tests.regtest.network import Network
from tests.regtest.waiting import until

AMOUNT_SAT = 50_000
UNKNOWN = Outpoint("ab" * 32, 0)


@pytest.fixture
def lock_id() -> bytes:
    return os.urandom(32)


def fund(node: LndNode, lock_id: bytes, *, to: str = "", **changed: Any) -> FundedPsbt:
    values: dict[str, Any] = {
        "amount_sat": AMOUNT_SAT,
        "sat_per_kw": 1000,
        "min_confirmations": 1,
        "lease_seconds": HOUR,
    }
    return node.fund_psbt(address=to or node.new_address(), lock_id=lock_id, **(values | changed))


def signed(node: LndNode, lock_id: bytes, **changed: Any) -> SignedPsbt:
    return node.finalize_psbt(fund(node, lock_id, **changed).psbt)


def biggest(node: LndNode) -> Utxo:
    return max(node.coins(min_confirmations=1), key=lambda coin: coin.amount_sat)


def reason_of(call) -> str:
    with pytest.raises(Rejected) as caught:
        call()
    return caught.value.reason


# What the wallet says


def test_a_new_address_is_ours_alone_and_of_our_network(node):
    addresses = {node.new_address() for _ in range(3)}
    assert len(addresses) == 3
    for address in addresses:
        check_address(address, "regtest")
        assert len(address) == len("bcrt1") + 39  # P2WPKH


def test_fees_and_reserve_are_told(node):
    rates = node.fee_rates(conf_target=6)
    assert rates.estimate_sat_per_kw >= rates.minimum_sat_per_kw == 253
    one, two = (node.required_reserve_sat(additional_public_channels=count) for count in (1, 2))
    assert two - one == 10_000


def test_what_makes_no_sense_is_not_answered(node):
    for call in (lambda: node.fee_rates(conf_target=0), lambda: node.block_hash(10**6)):
        with pytest.raises(NodeUnavailable):
            call()


def test_a_deposit_is_seen_at_once_and_then_in_its_block(network: Network, node, lsp):
    height = node.info().block_height
    address = node.new_address()
    txid = network.chain.pay([(address, 30_000)])
    until(lambda: txid in {found.txid for found in node.transactions(from_height=height)}, "the wallet sees it")
    unconfirmed = node.transaction(txid)
    assert (unconfirmed.confirmations, unconfirmed.block_height) == (0, 0)
    [ours] = [output for output in unconfirmed.outputs if output.ours]
    assert (ours.address, ours.amount_sat) == (address, 30_000)
    assert unconfirmed.inputs == read_transaction(unconfirmed.raw).inputs

    network.mine(2)
    confirmed = node.transaction(txid)
    assert (confirmed.confirmations, confirmed.block_height) == (2, height + 1)
    assert txid in {found.txid for found in node.transactions(from_height=height + 1)}
    assert txid not in {found.txid for found in node.transactions(from_height=height + 2)}


def test_an_unknown_transaction_is_not_found(node):
    with pytest.raises(NotFound):
        node.transaction("ab" * 32)


# Leases


def test_a_leased_coin_is_no_coin_until_it_is_released(node, lock_id):
    coin = biggest(node)
    node.lease(coin.outpoint, lock_id=lock_id, seconds=HOUR)
    assert coin.outpoint not in {each.outpoint for each in node.coins(min_confirmations=1)}
    [lease] = [each for each in node.leases() if each.outpoint == coin.outpoint]
    assert (lease.lock_id, lease.amount_sat) == (lock_id, coin.amount_sat)
    node.release(coin.outpoint, lock_id=lock_id)
    assert coin.outpoint in {each.outpoint for each in node.coins(min_confirmations=1)}


def test_the_same_id_extends_a_lease(node, lock_id):
    coin = biggest(node)
    ends = []
    for seconds in (HOUR, 2 * HOUR):
        node.lease(coin.outpoint, lock_id=lock_id, seconds=seconds)
        ends += [each.expires_at for each in node.leases() if each.outpoint == coin.outpoint]
    assert ends[1] - ends[0] >= HOUR
    node.release(coin.outpoint, lock_id=lock_id)


def test_another_id_gets_nothing_of_a_lease(node, lock_id):
    coin = biggest(node)
    node.lease(coin.outpoint, lock_id=lock_id, seconds=HOUR)
    other = os.urandom(32)
    assert reason_of(lambda: node.lease(coin.outpoint, lock_id=other, seconds=HOUR)) == "leased_by_another"
    assert reason_of(lambda: node.release(coin.outpoint, lock_id=other)) == "leased_by_another"
    node.release(coin.outpoint, lock_id=lock_id)


def test_a_lease_that_has_run_out_is_none_and_anybody_may_have_the_next(node, lock_id):
    coin = biggest(node)
    node.lease(coin.outpoint, lock_id=lock_id, seconds=1)
    until(lambda: coin.outpoint in {each.outpoint for each in node.coins(min_confirmations=1)}, "it has run out")
    assert lock_id not in {each.lock_id for each in node.leases()}
    node.release(coin.outpoint, lock_id=lock_id)
    node.lease(coin.outpoint, lock_id=lock_id, seconds=1)
    until(lambda: coin.outpoint in {each.outpoint for each in node.coins(min_confirmations=1)}, "it has run out again")
    other = os.urandom(32)
    node.lease(coin.outpoint, lock_id=other, seconds=HOUR)
    assert reason_of(lambda: node.lease(coin.outpoint, lock_id=lock_id, seconds=HOUR)) == "leased_by_another"
    node.release(coin.outpoint, lock_id=other)


def test_what_is_not_leased_is_released_without_complaint(node, lock_id):
    for outpoint in (biggest(node).outpoint, UNKNOWN):
        node.release(outpoint, lock_id=lock_id)


def test_an_unknown_coin_cannot_be_leased(node, lock_id):
    with pytest.raises(NotFound):
        node.lease(UNKNOWN, lock_id=lock_id, seconds=HOUR)


def test_a_coin_can_be_leased_again_until_its_spend_is_mined(network, node, lock_id):
    funded = fund(node, lock_id)
    node.publish(node.finalize_psbt(funded.psbt).raw, label="funding:lease")
    [lease] = funded.leases
    node.lease(lease.outpoint, lock_id=lock_id, seconds=HOUR)
    network.mine(1)
    with pytest.raises(NotFound):
        node.lease(lease.outpoint, lock_id=lock_id, seconds=HOUR)
    node.release(lease.outpoint, lock_id=lock_id)


# Funding and signing


def test_a_funded_psbt_pays_once_and_names_its_change_and_its_leases(node, lock_id):
    funded = fund(node, lock_id)
    unsigned = read_psbt(funded.psbt)
    assert {lease.outpoint for lease in funded.leases} == set(unsigned.inputs)
    assert {lease.lock_id for lease in funded.leases} == {lock_id}
    others = [amount for index, (_, amount) in enumerate(unsigned.outputs) if index != funded.change_index]
    assert others == [AMOUNT_SAT]
    for lease in funded.leases:
        node.release(lease.outpoint, lock_id=lock_id)


def test_more_than_the_wallet_has_is_insufficient(node, lock_id):
    with pytest.raises(InsufficientFunds):
        fund(node, lock_id, amount_sat=10**12)
    assert lock_id not in {lease.lock_id for lease in node.leases()}


def test_coins_that_are_not_deep_enough_do_not_count(node, lock_id):
    with pytest.raises(InsufficientFunds):
        fund(node, lock_id, min_confirmations=100_000)


def test_an_unconfirmed_coin_is_never_spent(network, node, add_node, lock_id):
    poor = add_node()
    network.chain.pay([(poor.new_address(), 100_000)])
    until(lambda: poor.balance().unconfirmed_sat == 100_000, "the deposit is seen")
    with pytest.raises(InsufficientFunds):
        fund(LndNode(credentials(poor)), lock_id, to=node.new_address())


def test_what_is_no_address_is_refused(node, lock_id):
    assert reason_of(lambda: fund(node, lock_id, to="bcrt1qxx")) == "invalid"


def test_no_fee_is_too_high_for_the_node(node, lock_id):
    """So whoever asks has to look at it before anything is signed."""
    funded = fund(node, lock_id, amount_sat=1_000, sat_per_kw=20_000)
    paid_sat = sum(amount for _, amount in read_psbt(funded.psbt).outputs)
    assert psbt_input_values(funded.psbt) - paid_sat > 1_000
    for lease in funded.leases:
        node.release(lease.outpoint, lock_id=lock_id)


def test_what_is_no_psbt_is_not_signed(node):
    with pytest.raises(OutcomeUnknown):
        node.finalize_psbt(b"psbt")


def test_signing_changes_no_txid_and_may_be_repeated(node, lock_id):
    funded = fund(node, lock_id)
    first, second = (read_transaction(node.finalize_psbt(funded.psbt).raw) for _ in range(2))
    assert first == second
    assert first.every_input_has_witness
    assert first.txid == read_psbt(funded.psbt).txid
    for lease in funded.leases:
        node.release(lease.outpoint, lock_id=lock_id)


# Publishing


def test_publishing_may_be_repeated_also_once_it_is_confirmed(network, node, lock_id):
    raw = signed(node, lock_id).raw
    txid = read_transaction(raw).txid
    with pytest.raises(NotFound):
        node.transaction(txid)
    for _ in range(2):
        node.publish(raw, label="refund:order")
    found = node.transaction(txid)
    assert (found.label, found.confirmations, found.raw) == ("refund:order", 0, raw)
    network.mine(1)
    node.publish(raw, label="refund:order")
    found = node.transaction(txid)
    assert (found.label, found.confirmations) == ("refund:order", 1)


def test_a_second_spend_of_the_same_coin_is_refused(node, lock_id):
    funded = fund(node, lock_id)
    node.publish(node.finalize_psbt(funded.psbt).raw, label="funding:order")
    [lease] = funded.leases
    rival = node.finalize_psbt(
        conflict_psbt(
            lease.outpoint,
            pk_script=lease.pk_script,
            amount_sat=lease.amount_sat,
            to_address=node.new_address(),
            fee_sat=20_000,
        )
    )
    assert reason_of(lambda: node.publish(rival.raw, label="conflict:order")) == "double_spend"
    with pytest.raises(NotFound):
        node.transaction(read_transaction(rival.raw).txid)


def test_our_own_confirmed_and_spent_transaction_sounds_like_a_double_spend(network, node, add_node, lock_id):
    """So whoever hears that has to look with `transaction` first."""
    small = LndNode(credentials(add_node(funded_sat=100_000)))
    raw = signed(small, lock_id, amount_sat=20_000).raw
    small.publish(raw, label="first")
    network.mine(1)
    both_outputs_sat = 95_000
    small.publish(signed(small, lock_id, amount_sat=both_outputs_sat, to=node.new_address()).raw, label="next")
    network.mine(1)
    assert reason_of(lambda: small.publish(raw, label="first")) == "double_spend"
    assert small.transaction(read_transaction(raw).txid).confirmations == 2


def test_too_low_a_fee_is_refused(node, lock_id):
    raw = signed(node, lock_id, sat_per_kw=10).raw
    assert reason_of(lambda: node.publish(raw, label="funding:cheap")) == "fee_too_low"
    with pytest.raises(NotFound):
        node.transaction(read_transaction(raw).txid)
    [lease] = [each for each in node.leases() if each.lock_id == lock_id]
    node.release(lease.outpoint, lock_id=lock_id)


def test_a_wrong_signature_is_refused(node, lock_id):
    raw = bytearray(signed(node, lock_id).raw)
    raw[-20] ^= 1
    assert reason_of(lambda: node.publish(bytes(raw), label="funding:wrong")) == "refused"
    [lease] = [each for each in node.leases() if each.lock_id == lock_id]
    node.release(lease.outpoint, lock_id=lock_id)


def test_dust_is_refused(network, node, monkeypatch):
    monkeypatch.setattr("lightning.transactions._DUST_SAT", 0)  # we would not make such a transaction
    txid = network.chain.pay([(node.new_address(), 2_000)])
    network.mine(1)
    [coin] = [each for each in node.coins(min_confirmations=1) if each.outpoint.txid == txid]
    script = bytes.fromhex(address_script(coin.address))
    psbt = conflict_psbt(
        coin.outpoint, pk_script=script, amount_sat=2_000, to_address=node.new_address(), fee_sat=1_800
    )
    raw = node.finalize_psbt(psbt).raw
    assert reason_of(lambda: node.publish(raw, label="refund:dust")) == "refused"
    with pytest.raises(NotFound):
        node.transaction(read_transaction(raw).txid)


def test_too_long_a_label_leaves_the_outcome_unknown_and_publishes_nothing(node, lock_id):
    funded = fund(node, lock_id)
    raw = node.finalize_psbt(funded.psbt).raw
    with pytest.raises(OutcomeUnknown):
        node.publish(raw, label="x" * 501)
    with pytest.raises(NotFound):
        node.transaction(read_transaction(raw).txid)
    for lease in funded.leases:
        node.release(lease.outpoint, lock_id=lock_id)


def test_a_transaction_of_coins_that_nobody_knows_is_refused(node, lock_id):
    funded = fund(node, lock_id)
    raw = node.finalize_psbt(funded.psbt).raw
    coin = bytes.fromhex(funded.leases[0].outpoint.txid)[::-1]
    assert reason_of(lambda: node.publish(raw.replace(coin, b"\xab" * 32), label="funding:lost")) == "double_spend"
    for lease in funded.leases:
        node.release(lease.outpoint, lock_id=lock_id)


def test_what_is_no_transaction_leaves_the_outcome_unknown(node):
    with pytest.raises(OutcomeUnknown):
        node.publish(b"\x00", label="funding:nothing")


@pytest.mark.parametrize("taproot", [False, True], ids=["segwit", "taproot"])
def test_a_conflict_on_a_leased_coin_is_signed_and_confirms(network, node, lsp, lock_id, taproot):
    address = lsp.new_address(taproot=taproot)
    txid = network.chain.pay([(address, 70_000)])
    network.mine(1)
    [coin] = [each for each in node.coins(min_confirmations=1) if each.outpoint.txid == txid]
    node.lease(coin.outpoint, lock_id=lock_id, seconds=HOUR)
    [lease] = [each for each in node.leases() if each.outpoint == coin.outpoint]
    psbt = conflict_psbt(
        coin.outpoint, pk_script=lease.pk_script, amount_sat=70_000, to_address=node.new_address(), fee_sat=1_000
    )
    conflict = read_transaction(node.finalize_psbt(psbt).raw)
    assert conflict.every_input_has_witness
    assert read_psbt(psbt).vbytes - 1 <= conflict.vbytes <= read_psbt(psbt).vbytes
    node.publish(node.finalize_psbt(psbt).raw, label="conflict:order")
    network.mine(1)
    assert node.transaction(conflict.txid).confirmations == 1


# Bumping


def test_our_unconfirmed_change_is_bumped_by_a_child(network, node, lock_id):
    funded = fund(node, lock_id)
    raw = node.finalize_psbt(funded.psbt).raw
    node.publish(raw, label="refund:slow")
    txid = read_transaction(raw).txid
    change = Outpoint(txid, funded.change_index)
    for _ in range(2):
        node.bump_fee(change, conf_target=6, budget_sat=2_000)  # less than the estimate may ask for
    until(lambda: any(change in each.inputs for each in node.transactions(from_height=10**6)), "the child is published")
    network.mine(1)
    until(lambda: node.transaction(txid).confirmations == 1, "it is mined")
    assert reason_of(lambda: node.bump_fee(funded.leases[0].outpoint, conf_target=1, budget_sat=1000)) == "confirmed"


def test_what_is_not_ours_cannot_be_bumped(node):
    with pytest.raises(NotFound):
        node.bump_fee(UNKNOWN, conf_target=1, budget_sat=1000)


# Reorganisations


def deposited(network: Network, node: LndNode, depth: int) -> str:
    txid = network.chain.pay([(node.new_address(), 30_000)])
    network.mine(depth)
    until(lambda: node.transaction(txid).confirmations == depth, "it is mined")
    return txid


def test_a_deposit_of_the_last_block_is_unconfirmed_again_and_counts_from_its_new_block(network, node):
    txid = deposited(network, node, 1)
    network.reorganise(1, [])
    until(lambda: node.transaction(txid).confirmations == 0, "the wallet has noticed")
    network.mine(1)
    until(lambda: node.transaction(txid).confirmations == 1, "it is mined again")
    found = node.transaction(txid)
    assert (found.block_height, found.block_hash) == (node.info().block_height, node.block_hash(found.block_height))
