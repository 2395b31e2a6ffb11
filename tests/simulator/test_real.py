"""What the simulator makes is real: nodes that know nothing of it read it as it was meant."""

from __future__ import annotations

import pytest

from lightning.node import LndNode
from lightning.transactions import read_transaction
from tests.contract.conftest import HOUR, Secret, credentials
from tests.regtest.network import Network
from tests.simulator.network import SimulatedNetwork


@pytest.mark.parametrize("amount_sat", [1, 2_500, 123_457, 21 * 10**8])
def test_lnd_reads_its_invoices(network: SimulatedNetwork, real_network: Network, amount_sat: int) -> None:
    secret = Secret()
    opened = LndNode(credentials(network.lsp)).add_hold_invoice(
        payment_hash=secret.payment_hash, amount_sat=amount_sat, memo="order ½", expiry_seconds=3601, cltv_blocks=288
    )
    read = real_network.lsp.call("lnrpc.Lightning/DecodePayReq", pay_req=opened.payment_request)
    assert read.destination == network.lsp.pubkey  # recovered from the signature
    assert (read.payment_hash, read.num_satoshis, read.description) == (secret.payment_hash, amount_sat, "order ½")
    assert (read.expiry, read.cltv_expiry, len(read.payment_addr)) == (3601, 288, 32)


def test_btcd_reads_its_transactions(network: SimulatedNetwork, real_network: Network) -> None:
    node = LndNode(credentials(network.lsp))
    address = node.new_address()
    funded = node.fund_psbt(
        address=address,
        amount_sat=50_000,
        sat_per_kw=1000,
        min_confirmations=1,
        lock_id=b"\x09" * 32,
        lease_seconds=HOUR,
    )
    raw = node.finalize_psbt(funded.psbt).raw
    decoded = real_network.chain.rpc("decoderawtransaction", raw.hex())
    assert decoded["txid"] == read_transaction(raw).txid
    assert address in {output["scriptPubKey"].get("addresses", [""])[0] for output in decoded["vout"]}
    for lease in funded.leases:
        node.release(lease.outpoint, lock_id=lease.lock_id)
