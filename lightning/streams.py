"""LND's subscriptions as async iterators.

They are for speed only, and know nothing of the past (except `invoice` and `blocks`, which begin with the
present): whoever subscribes also looks. Each ends when the node ends it, and raises NodeUnavailable when
it breaks; subscribe again then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from lightning import mapping
from lightning.calls import CHANNEL_OPTIONS
from lightning.credentials import Credentials
from lightning.errors import NodeUnavailable
from lightning.proto import chainrpc_pb2 as chain
from lightning.proto import invoicesrpc_pb2 as inv
from lightning.proto import lnrpc_pb2 as ln
from lightning.proto.chainrpc_pb2_grpc import ChainNotifierStub
from lightning.proto.invoicesrpc_pb2_grpc import InvoicesStub
from lightning.proto.lnrpc_pb2_grpc import LightningStub
from lightning.types import ChainTransaction, ChannelEvent, CustomMessage, Invoice, PartsOnTheWay, PeerEvent

Value = TypeVar("Value")


class LndStreams:
    """The subscriptions to one node. Build and use it inside one running event loop.

    It has a connection of its own: thousands of streams beside the short calls would delay them.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._opened: grpc.aio.Channel | None = None

    async def close(self) -> None:
        """The connection and every stream over it are closed. Repeat: safe."""
        channel, self._opened = self._opened, None
        if channel is not None:
            await channel.close(None)

    def invoice(self, payment_hash: str) -> AsyncIterator[Invoice]:
        """The invoice now, and after each change; ends once it is settled or canceled.

        One that the node does not know yet is waited for; one that it has forgotten, for ever.
        """
        request = inv.SubscribeSingleInvoiceRequest(r_hash=bytes.fromhex(payment_hash))
        call = InvoicesStub(self._channel()).SubscribeSingleInvoice
        return self._listen(call, request, mapping.invoice)

    def transactions(self) -> AsyncIterator[ChainTransaction]:
        """Each transaction of the wallet when it is first seen, and when it is first mined."""
        call = LightningStub(self._channel()).SubscribeTransactions
        return self._listen(call, ln.GetTransactionsRequest(), mapping.chain_transaction)

    def channel_events(self) -> AsyncIterator[ChannelEvent | PartsOnTheWay]:
        """Each change in the life of a channel; and after each commitment of a peer all that comes in by that channel.

        The latter is told some 50 ms before an invoice is accepted, and not told again after a restart of the node's.
        """
        call = LightningStub(self._channel()).SubscribeChannelEvents
        return self._listen(call, ln.ChannelEventSubscription(), mapping.channel_event)

    def peer_events(self) -> AsyncIterator[PeerEvent]:
        """Each peer that comes or goes."""
        call = LightningStub(self._channel()).SubscribePeerEvents
        return self._listen(call, ln.PeerEventSubscription(), mapping.peer_event)

    def custom_messages(self) -> AsyncIterator[CustomMessage]:
        """Each message that is not Lightning's own, of any type, from whatever peer: what came before is lost."""
        call = LightningStub(self._channel()).SubscribeCustomMessages
        return self._listen(call, ln.SubscribeCustomMessagesRequest(), mapping.custom_message)

    def blocks(self) -> AsyncIterator[int]:
        """The height of the best block now, and of each that is connected: after a reorganisation heights repeat."""
        call = ChainNotifierStub(self._channel()).RegisterBlockEpochNtfn
        return self._listen(call, chain.BlockEpoch(), lambda block: block.height)

    def _channel(self) -> grpc.aio.Channel:
        if self._opened is None:
            secure = self._credentials.channel_credentials()
            self._opened = grpc.aio.secure_channel(self._credentials.target, secure, options=CHANNEL_OPTIONS)
        return self._opened

    async def _listen(
        self, call: Callable[..., Any], request: Message, read: Callable[[Any], Value | None]
    ) -> AsyncIterator[Value]:
        """`read` of each message; None is left out."""
        stream = call(request, metadata=self._credentials.metadata())
        try:
            async for message in stream:
                if (value := read(message)) is not None:
                    yield value
        except grpc.RpcError as error:
            problem = mapping.error_of(error, call=request.DESCRIPTOR.full_name, changing=False)
            raise NodeUnavailable(str(problem), reason=problem.reason) from None
        finally:
            stream.cancel()  # whoever stops listening must not leave the node sending
