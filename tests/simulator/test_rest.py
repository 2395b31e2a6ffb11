"""A simulated node that was filled: its answers are as large as an old LND's, and it stays as quick as a new one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from lightning.credentials import Credentials
from lightning.node import LndNode
from lightning.types import OpenedInvoice
from simulator import rest
from tests.simulator.network import SimulatedNetwork

CHANNELS, INVOICES, TRANSACTIONS, BLOCKS = 500, 3_000, 2_000, 100


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[SimulatedNetwork, LndNode]]:
    with SimulatedNetwork() as network:
        lsp = network.lsp
        fill(lsp, channels=CHANNELS, invoices=INVOICES, transactions=TRANSACTIONS, blocks=BLOCKS)
        yield (
            network,
            LndNode(Credentials(lsp.grpc_address, str(lsp.tls_certificate), str(lsp.admin_macaroon), "regtest")),
        )


def fill(lsp: Any, **amounts: int) -> None:
    call_command("fill_simulator", home=lsp.folder, at=lsp.grpc_address, **amounts, verbosity=0)


def added(node: LndNode, payment_hash: str) -> OpenedInvoice:
    return node.add_hold_invoice(
        payment_hash=payment_hash, amount_sat=1_000, memo="", expiry_seconds=600, cltv_blocks=144
    )


def test_its_lists_have_all_that_is_at_rest(filled: Any) -> None:
    network, node = filled
    own = len(network.buyer.channels())
    assert len(node.channels()) == CHANNELS + own
    assert len(node.transactions(from_height=0)) >= TRANSACTIONS
    assert len(node.peers()) >= CHANNELS * 80 // 100
    assert len({channel.outpoint for channel in node.channels()}) == CHANNELS + own


def test_one_peer_is_asked_for_alone(filled: Any) -> None:
    _, node = filled
    peer = node.channels()[-1].peer_pubkey
    assert [channel.peer_pubkey for channel in node.channels_with(peer)] == [peer]


def test_its_transactions_are_spread_over_their_blocks(filled: Any) -> None:
    network, node = filled
    height = network.chain.height
    each = [len(node.transactions(from_height=height - back)) for back in (9, 19, 29)]
    assert [each[1] - each[0], each[2] - each[1]] == [TRANSACTIONS // BLOCKS * 10] * 2
    assert {found.block_hash for found in node.transactions(from_height=height)} == {node.block_hash(height)}


def test_a_new_invoice_comes_after_all_that_are_at_rest(filled: Any) -> None:
    _, node = filled
    opened = added(node, "aa" * 32)
    assert opened.add_index > INVOICES and node.newest_add_index() == opened.add_index
    pending = node.pending_invoices(after_add_index=opened.add_index - 1)
    assert [found.payment_hash for found in pending] == ["aa" * 32]


def test_what_has_invoices_of_its_own_is_not_filled(filled: Any) -> None:
    network, node = filled
    added(node, "bb" * 32)
    with pytest.raises(CommandError, match="invoices already"):
        fill(network.lsp)


def test_each_message_is_as_large_as_lnds(filled: Any) -> None:
    at_rest = rest.Rest(b"seed", channels=1, closed=1, invoices=1)
    made = [at_rest.open_channels()[0], at_rest.closed_channels()[0], next(at_rest.invoices_after(0, 1))]
    wanted = (rest.CHANNEL_BYTES, rest.CLOSED_BYTES, rest.INVOICE_BYTES)
    for message, size in zip(made, wanted, strict=True):
        assert size - 3 <= message.ByteSize() <= size


def test_it_is_the_same_after_a_restart_and_its_state_stays_small(filled: Any) -> None:
    network, node = filled
    before = {channel.outpoint for channel in node.channels()}
    network.lsp.restart()
    assert {channel.outpoint for channel in node.channels()} == before
    assert (network.lsp.folder / "state").stat().st_size < 200_000
