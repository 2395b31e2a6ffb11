"""invoicesrpc.Invoices and the services of chainrpc, method by method."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from google.protobuf.message import Message

from lightning.proto import chainrpc_pb2 as chain
from lightning.proto import invoicesrpc_pb2 as inv
from lightning.proto import lnrpc_pb2 as ln
from simulator import events, messages
from simulator.refused import Refused
from simulator.world import World

_FINAL = (ln.Invoice.SETTLED, ln.Invoice.CANCELED)


def add_hold_invoice(world: World, request: inv.AddHoldInvoiceRequest) -> inv.AddHoldInvoiceResp:
    """An invoice whose payment is held until it is settled or cancelled."""
    added = world.invoices.add(
        request.hash,
        value_sat=request.value,
        memo=request.memo,
        expiry_seconds=request.expiry,
        cltv_blocks=request.cltv_expiry,
        now=world.now(),
    )
    return inv.AddHoldInvoiceResp(payment_request=added.payment_request, add_index=added.add_index)


def settle_invoice(world: World, request: inv.SettleInvoiceMsg) -> inv.SettleInvoiceResp:
    """The held payment is the node's."""
    world.invoices.settle(request.preimage)
    return inv.SettleInvoiceResp()


def cancel_invoice(world: World, request: inv.CancelInvoiceMsg) -> inv.CancelInvoiceResp:
    """What was held is the payer's again."""
    world.invoices.cancel(request.payment_hash)
    return inv.CancelInvoiceResp()


def lookup_invoice_v2(world: World, request: inv.LookupInvoiceMsg) -> ln.Invoice:
    """The invoice as it is now."""
    try:
        return messages.invoice(world.invoices.find(request.payment_hash))
    except Refused as refused:
        raise Refused(refused.text, grpc.StatusCode.NOT_FOUND) from None


async def subscribe_single_invoice(world: World, request: inv.SubscribeSingleInvoiceRequest) -> AsyncIterator[Message]:
    """The invoice now and after each change, to its end; an unknown one is waited for."""
    payment_hash = request.r_hash.hex()
    with world.events.listening(events.invoice(payment_hash)) as queue:
        if known := world.invoices.by_hash.get(payment_hash):
            queue.put_nowait(messages.invoice(known))
        while True:
            message = await queue.get()
            yield message
            if message.state in _FINAL:
                return


def get_block_hash(world: World, request: chain.GetBlockHashRequest) -> chain.GetBlockHashResponse:
    """The block of the best chain at this height."""
    first, last = world.chain.blocks[0].height, world.chain.height
    if not first <= request.block_height <= last:
        raise Refused("-1: Block number out of range")
    return chain.GetBlockHashResponse(block_hash=bytes.fromhex(world.chain.block_at(request.block_height).hash)[::-1])


async def register_block_epoch_ntfn(world: World, _: chain.BlockEpoch) -> AsyncIterator[Message]:
    """The best block, and each that is connected from now on."""
    with world.events.listening(events.BLOCKS) as queue:
        tip = world.chain.tip
        yield chain.BlockEpoch(hash=bytes.fromhex(tip.hash)[::-1], height=tip.height)
        while True:
            yield await queue.get()
