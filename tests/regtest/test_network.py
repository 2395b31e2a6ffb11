"""The test network itself: what other tests take for granted about it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.regtest.bitcoin import OUR_ADDRESS
from tests.regtest.btcd import Refused
from tests.regtest.fixtures import AddPeer
from tests.regtest.lnd import Lnd
from tests.regtest.network import BUYER_COINS, CHANNEL_SAT, EACH_COIN_SAT, LSP_COINS, Network
from tests.regtest.payment import FAILED, IN_FLIGHT, SUCCEEDED, UNKNOWN
from tests.regtest.processes import free_port
from tests.regtest.waiting import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def held_invoice(network: Network) -> tuple[bytes, str]:
    """A hold invoice of the LSP: its preimage and its text."""
    preimage = os.urandom(32)
    payment_hash = hashlib.sha256(preimage).digest()
    added = network.lsp.call("invoicesrpc.Invoices/AddHoldInvoice", hash=payment_hash, value=2_000)
    return preimage, added.payment_request


@pytest.fixture
def cheap_relay(network: Network) -> Iterator[Network]:
    """The network; btcd has its usual fee floor again afterwards."""
    yield network
    network.restart_chain()


def test_both_nodes_begin_with_coins_and_a_channel(network: Network) -> None:
    assert network.lsp.balance().confirmed_sat >= (LSP_COINS - 1) * EACH_COIN_SAT
    assert network.buyer.balance().confirmed_sat >= (BUYER_COINS - 1) * EACH_COIN_SAT - CHANNEL_SAT
    (channel,) = network.buyer.channels(network.lsp)
    assert channel.active and channel.capacity == CHANNEL_SAT
    assert network.buyer.has_peer(network.lsp)


def test_the_buyer_pays_an_invoice_of_the_lsp(network: Network) -> None:
    payment = network.buyer.pay(network.lsp.invoice(1_000))
    assert payment.wait() == SUCCEEDED, payment.failure
    assert payment.preimage
    assert any(invoice.r_preimage.hex() == payment.preimage for invoice in network.lsp.invoices())


def test_a_held_payment_stays_in_flight_until_it_is_settled(network: Network, held_invoice: tuple[bytes, str]) -> None:
    preimage, invoice = held_invoice
    payment = network.buyer.pay(invoice)
    payment.wait_locked()
    until(lambda: _accepted(network.lsp, invoice), "the LSP has the payment")
    assert payment.status() == IN_FLIGHT
    network.lsp.call("invoicesrpc.Invoices/SettleInvoice", preimage=preimage)
    assert payment.wait() == SUCCEEDED
    assert payment.preimage == preimage.hex()


def test_a_payment_that_lnd_refuses_outright_has_failed(network: Network) -> None:
    invoice = network.lsp.invoice(1_000)
    assert network.buyer.pay(invoice).wait() == SUCCEEDED
    again = network.buyer.pay(invoice)
    assert again.wait() == FAILED
    assert "already paid" in again.failure


def test_a_reorganisation_confirms_the_same_transactions_again(network: Network) -> None:
    deposit = network.chain.send(OUR_ADDRESS, 50_000)
    network.mine(3)
    height, lost = network.chain.height, network.chain.transaction(deposit)["blockhash"]
    network.reorganise(3)
    assert network.chain.height == height + 1
    assert network.chain.transaction(deposit)["blockhash"] != lost
    assert network.chain.confirmations(deposit) == 4


def test_a_reorganisation_can_replace_a_deposit_by_its_rival(network: Network) -> None:
    deposit = network.fund(network.lsp, 60_000)
    network.reorganise(1, [network.chain.rival_of(deposit)])
    assert deposit not in network.chain.mempool()
    until(lambda: not _confirmations(network.lsp, deposit), "the LSP's deposit has no confirmation")


def test_lnds_wallet_keeps_what_a_deeper_reorganisation_took_but_its_block_is_not_in_the_chain(
    network: Network, add_peer: AddPeer
) -> None:
    peer = add_peer()
    deposit = network.fund(peer, 60_000, depth=2)
    network.reorganise(2, [network.chain.rival_of(deposit)])
    (listed,) = peer.transactions()
    assert listed.num_confirmations == 3, "lnd got it right: tell those who work around it"
    at_that_height = peer.call("chainrpc.ChainKit/GetBlockHash", block_height=listed.block_height)
    assert at_that_height.block_hash[::-1].hex() != listed.block_hash


def test_a_node_that_was_away_learns_of_a_deep_reorganisation(network: Network, add_peer: AddPeer) -> None:
    peer = add_peer()
    deposit = network.fund(peer, 60_000, depth=2)
    peer.terminate()
    network.reorganise(2, [network.chain.rival_of(deposit)])
    peer.start()
    until(lambda: not _confirmations(peer, deposit), "the deposit has no confirmation")


def test_a_wallets_own_transaction_loses_to_its_rival(network: Network, add_peer: AddPeer) -> None:
    sender = add_peer(funded_sat=1_000_000)
    sent = sender.send_coins(network.lsp.new_address(), 300_000)
    network.chain.mine_only([sender.rival_of(sent)])
    network.wait_synced()
    assert sent not in network.chain.mempool()
    with pytest.raises(Refused):
        network.chain.transaction(sent)


def test_a_taproot_coin_has_a_rival_too(network: Network, add_peer: AddPeer) -> None:
    sender = add_peer()
    address = sender.call("lnrpc.Lightning/NewAddress", type="TAPROOT_PUBKEY").address
    network.chain.send(address, 1_000_000)
    network.mine()
    sent = sender.send_coins(network.lsp.new_address(), 300_000)
    network.chain.mine_only([sender.rival_of(sent)])
    assert sent not in network.chain.mempool()


def test_a_block_can_leave_a_transaction_and_its_children_waiting(network: Network) -> None:
    address = network.lsp.new_address()
    held_back = network.chain.send(address, 70_000)
    child = network.chain.send(address, 70_000)  # spends the change of the one before
    network.chain.mine_without([held_back])
    assert {held_back, child} <= set(network.chain.mempool())
    network.mine()
    assert network.chain.confirmations(held_back) == network.chain.confirmations(child) == 1


def test_a_restarted_chain_has_its_blocks_an_empty_mempool_and_another_fee_floor(
    cheap_relay: Network, add_peer: AddPeer
) -> None:
    network = cheap_relay
    sender = add_peer(funded_sat=1_000_000)
    height = network.chain.height
    waiting = network.chain.send(OUR_ADDRESS, 80_000)  # no node's wallet knows it and publishes it again
    network.restart_chain("--minrelaytxfee=0.001")
    assert network.chain.height > height
    with pytest.raises(Refused):
        network.chain.transaction(waiting)
    with pytest.raises(grpc.RpcError):
        sender.send_coins(network.lsp.new_address(), 300_000, sat_per_vbyte=2)


def test_a_paused_node_answers_nothing_until_it_goes_on(network: Network, add_peer: AddPeer) -> None:
    peer = add_peer()
    peer.pause()
    with pytest.raises(grpc.RpcError) as problem:
        peer.call("lnrpc.Lightning/GetInfo", timeout=1)
    assert problem.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    network.mine()  # does not wait for it
    peer.resume()
    peer.wait_synced()


def test_a_killed_node_comes_back_as_the_same_with_its_channel_and_its_payment(
    network: Network, add_peer: AddPeer, held_invoice: tuple[bytes, str]
) -> None:
    preimage, invoice = held_invoice
    peer = add_peer(funded_sat=2_000_000)
    point = peer.open_channel(network.lsp, 1_000_000)
    pubkey, payment = peer.pubkey, peer.pay(invoice)
    until(lambda: _accepted(network.lsp, invoice), "the LSP has the payment")
    peer.kill()
    assert payment.wait() == UNKNOWN
    assert not peer.is_running
    peer.start()
    assert peer.pubkey == pubkey
    until(lambda: peer.is_active(point) and network.lsp.is_active(point), "the channel is active again")
    network.lsp.call("invoicesrpc.Invoices/SettleInvoice", preimage=preimage)
    until(lambda: not peer.channels()[0].pending_htlcs, "the payment is settled in the channel")


def test_a_stopped_node_takes_new_flags(network: Network, add_peer: AddPeer) -> None:
    peer = add_peer()
    peer.restart(["--minchansize=5000000"])
    with pytest.raises(grpc.RpcError, match="below min chan size"):
        network.lsp.open_channel(peer, 1_000_000)


def test_a_node_refuses_channels_with_the_text_it_was_told(network: Network, add_peer: AddPeer) -> None:
    peer = add_peer()
    with peer.refusing_channels("no channels on Sundays") as offers:
        with pytest.raises(grpc.RpcError, match="no channels on Sundays"):
            network.lsp.open_channel(peer, 1_000_000)
    (offer,) = offers
    assert offer.funding_amt == 1_000_000
    point = network.lsp.open_channel(peer, 1_000_000)
    assert peer.is_active(point)
    closing = network.lsp.close_channel(point)
    assert closing in network.chain.mempool()


def test_a_zero_conf_channel_is_active_before_any_block(network: Network, add_peer: AddPeer) -> None:
    peer = add_peer()
    network.lsp.connect(peer)
    with peer.accepting_zero_conf():
        opening = network.lsp.stream(
            "lnrpc.Lightning/OpenChannel",
            node_pubkey=bytes.fromhex(peer.pubkey),
            local_funding_amount=500_000,
            sat_per_vbyte=2,
            private=True,
            zero_conf=True,
            scid_alias=True,
            commitment_type="ANCHORS",
        )
        until(lambda: [channel for channel in peer.channels() if channel.active], "the channel is active")
    opening.cancel()
    (channel,) = peer.channels()
    assert channel.zero_conf and not channel.zero_conf_confirmed_scid
    network.mine(6)


def test_a_label_and_a_lease_can_be_looked_up(network: Network, add_peer: AddPeer) -> None:
    peer = add_peer(funded_sat=1_000_000, coins=2)
    sent = peer.send_coins(network.lsp.new_address(), 10_000, label="refund:one")
    assert peer.wallet_label(sent) == "refund:one"
    assert peer.wallet_label("00" * 32) is None
    assert peer.leases() == []
    coin = peer.call("walletrpc.WalletKit/ListUnspent", min_confs=1, max_confs=999).utxos[0]
    peer.call("walletrpc.WalletKit/LeaseOutput", id=b"x" * 32, outpoint=coin.outpoint, expiration_seconds=60)
    assert [lease.id for lease in peer.leases()] == [b"x" * 32]


def test_a_second_network_stands_beside_the_first(network: Network) -> None:
    with Network(names=["alone"]) as second:
        assert second.chain.rpc_port != network.chain.rpc_port
        assert second["alone"].info().num_active_channels == 0
        folder = second.folder
    assert not folder.exists()
    assert network.lsp.info().synced_to_chain


def test_ports_are_not_picked_twice() -> None:
    ports = {free_port() for _ in range(50)}
    assert len(ports) == 50


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tie a child to its parent")
def test_the_programs_die_with_the_process_that_started_them(network: Network, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from tests.regtest.network import Network\n"
        "n = Network(names=['alone'], folder=Path(sys.argv[1])); n.start()\n"
        "print(n.chain.pid, n['alone'].pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "network")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    until(lambda: not any(_is_alive(pid) for pid in pids), "both programs are gone")


def _is_alive(pid: int) -> bool:
    try:
        # A zombie that nobody has collected yet is dead all the same.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _accepted(lnd: Lnd, invoice: str) -> bool:
    return any(found.payment_request == invoice and found.state == 3 for found in lnd.invoices())


def _confirmations(lnd: Lnd, txid: str) -> int | None:
    found = {transaction.tx_hash: int(transaction.num_confirmations) for transaction in lnd.transactions()}
    return found.get(txid)
