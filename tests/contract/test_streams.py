"""The subscriptions of a node: each tells what it should, and says when it broke."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

import pytest

from lightning.errors import NodeUnavailable
from lightning.streams import LndStreams
from lightning.types import ChannelEvent, NodeAddress, NodeInvoiceState, Outpoint, PartsOnTheWay, PeerEvent
from tests.contract.conftest import credentials
from tests.regtest.network import Network

Value = TypeVar("Value")
PATIENCE = 60


def with_streams(lnd, scenario: Callable[[LndStreams], Awaitable[None]]) -> None:
    async def run() -> None:
        streams = LndStreams(credentials(lnd))
        try:
            async with asyncio.timeout(PATIENCE):
                await scenario(streams)
        finally:
            await streams.close()

    asyncio.run(run())


class Listening(Generic[Value]):
    """What a stream has told so far; `until` waits for more."""

    def __init__(self, stream: AsyncIterator[Value]) -> None:
        self.heard: list[Value] = []
        self._more = asyncio.Event()
        self.task = asyncio.create_task(self._listen(stream))

    async def _listen(self, stream: AsyncIterator[Value]) -> None:
        async for value in stream:
            self.heard.append(value)
            self._more.set()

    async def until(self, what: Callable[[Value], bool]) -> Value:
        while True:
            self._more.clear()
            for value in self.heard:
                if what(value):
                    return value
            await self._more.wait()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_an_invoice_is_followed_to_its_end(network: Network, node, lsp, secret):
    async def scenario(streams: LndStreams) -> None:
        opened = await asyncio.to_thread(
            node.add_hold_invoice,
            payment_hash=secret.payment_hash,
            amount_sat=1000,
            memo="order",
            expiry_seconds=600,
            cltv_blocks=144,
        )
        listening = Listening(streams.invoice(secret.payment_hash))
        await listening.until(lambda invoice: invoice.state is NodeInvoiceState.OPEN)
        network.buyer.pay(opened.payment_request)
        held = await listening.until(lambda invoice: invoice.state is NodeInvoiceState.ACCEPTED)
        assert held.held_msat == 1_000_000
        await asyncio.to_thread(node.settle_invoice, secret.preimage)
        await listening.task
        assert listening.heard[-1].state is NodeInvoiceState.SETTLED

    with_streams(lsp, scenario)


WAYS = {
    "whole": lambda buyer, invoice: buyer.pay(invoice),
    "in parts": lambda buyer, invoice: buyer.pay(invoice, max_parts=4, max_shard_size_msat=5_000_000),
    "too much": lambda buyer, invoice: buyer.pay_amount(invoice, 15_000_000),
    "a part only": lambda buyer, invoice: buyer.pay_part(invoice, 5_000_000),
}


@pytest.mark.parametrize("way", WAYS)
def test_channel_events_name_what_comes_in(network: Network, node, lsp, secret, way: str):
    async def scenario(streams: LndStreams) -> None:
        opened = await asyncio.to_thread(
            node.add_hold_invoice,
            payment_hash=secret.payment_hash,
            amount_sat=10_000,
            memo="order",
            expiry_seconds=600,
            cltv_blocks=144,
        )
        channels = Listening(streams.channel_events())
        invoice = Listening(streams.invoice(secret.payment_hash))
        await invoice.until(lambda told: told.state is NodeInvoiceState.OPEN)
        await asyncio.sleep(0.5)  # nothing is heard that one could wait for
        await asyncio.to_thread(WAYS[way], network.buyer, opened.payment_request)
        await channels.until(lambda event: isinstance(event, PartsOnTheWay) and secret.payment_hash in event.hashes)
        if way != "a part only":
            await invoice.until(lambda told: told.state is NodeInvoiceState.ACCEPTED)
        await asyncio.to_thread(node.cancel_invoice, secret.payment_hash)
        await channels.stop()
        await invoice.until(lambda told: told.state is NodeInvoiceState.CANCELED)
        await invoice.stop()  # else the end breaks it, or not

    with_streams(lsp, scenario)


def test_an_invoice_that_is_not_there_yet_is_waited_for(node, lsp, secret):
    async def scenario(streams: LndStreams) -> None:
        listening = Listening(streams.invoice(secret.payment_hash))
        await asyncio.sleep(0.5)  # nothing is heard that one could wait for
        await asyncio.to_thread(
            node.add_hold_invoice,
            payment_hash=secret.payment_hash,
            amount_sat=1000,
            memo="order",
            expiry_seconds=600,
            cltv_blocks=144,
        )
        await listening.until(lambda invoice: invoice.state is NodeInvoiceState.OPEN)
        await asyncio.to_thread(node.cancel_invoice, secret.payment_hash)
        await listening.task
        assert listening.heard[-1].state is NodeInvoiceState.CANCELED

    with_streams(lsp, scenario)


def test_heights_are_told_again_after_a_reorganisation(network: Network, lsp):
    async def scenario(streams: LndStreams) -> None:
        await asyncio.to_thread(network.mine, 1)
        blocks = Listening(streams.blocks())
        tip = await blocks.until(lambda height: True)
        await asyncio.to_thread(network.reorganise, 1)
        await blocks.until(lambda height: height == tip + 1)
        assert blocks.heard[-2:] == [tip, tip + 1]
        await blocks.stop()

    with_streams(lsp, scenario)


def test_blocks_and_deposits_are_told(network: Network, node, lsp):
    async def scenario(streams: LndStreams) -> None:
        blocks, deposits = Listening(streams.blocks()), Listening(streams.transactions())
        first = await blocks.until(lambda height: True)
        assert first == network.chain.height
        txid = await asyncio.to_thread(network.chain.pay, [(node.new_address(), 25_000)])
        await deposits.until(lambda found: found.txid == txid and found.confirmations == 0)
        await asyncio.to_thread(network.mine, 1)
        await blocks.until(lambda height: height == first + 1)
        await deposits.until(lambda found: found.txid == txid and found.confirmations == 1)
        for each in (blocks, deposits):
            await each.stop()

    with_streams(lsp, scenario)


def test_peers_and_channels_are_told_but_no_balances(network: Network, node, passing_peer, lsp, secret):
    peer = passing_peer

    async def scenario(streams: LndStreams) -> None:
        peers, channels = Listening(streams.peer_events()), Listening(streams.channel_events())
        await asyncio.sleep(0.5)  # these two streams do not say when they have begun
        address = NodeAddress.parse(peer.p2p_address)
        await asyncio.to_thread(node.connect, address, timeout_seconds=10)
        await peers.until(lambda event: event == PeerEvent(peer.pubkey, online=True))
        point = await asyncio.to_thread(lsp.open_channel, peer, 200_000, 50_000)
        outpoint = Outpoint.parse(point)
        for kind in ("pending_open_channel", "open_channel", "active_channel"):
            await channels.until(ChannelEvent(kind, outpoint).__eq__)
        payment = await asyncio.to_thread(lambda: peer.pay(lsp.invoice(1000)))
        await asyncio.to_thread(payment.wait)
        await asyncio.to_thread(peer.kill)
        await peers.until(lambda event: event == PeerEvent(peer.pubkey, online=False))
        assert "channel_update" not in {event.kind for event in channels.heard if isinstance(event, ChannelEvent)}
        for each in (peers, channels):
            await each.stop()

    with_streams(lsp, scenario)


def test_a_stream_that_breaks_says_that_the_node_is_gone(add_node):
    lnd = add_node()

    async def scenario(streams: LndStreams) -> None:
        listening = Listening(streams.blocks())
        await listening.until(lambda height: True)
        await asyncio.to_thread(lnd.kill)
        with pytest.raises(NodeUnavailable):
            await listening.task
        with pytest.raises(NodeUnavailable):
            await Listening(streams.blocks()).task

    with_streams(lnd, scenario)


def test_a_refused_macaroon_is_told(lsp):
    async def run() -> None:
        streams = LndStreams(credentials(lsp, macaroon=""))
        try:
            with pytest.raises(NodeUnavailable) as caught:
                await Listening(streams.peer_events()).task
            assert caught.value.reason == "PERMISSION_DENIED"
        finally:
            await streams.close()

    asyncio.run(run())
