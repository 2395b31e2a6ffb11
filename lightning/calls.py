"""One gRPC connection to the node, and the three ways to call over it: read, change, open a stream."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any, TypeVar

import grpc
from django.conf import settings
from django.db import connections
from google.protobuf.message import Message
from grpc.experimental import ChannelOptions

from lightning import mapping
from lightning.credentials import Credentials
from lightning.errors import NodeUnavailable, OutcomeUnknown
from lightning.proto import lnrpc_pb2
from lightning.proto.chainrpc_pb2_grpc import ChainKitStub
from lightning.proto.invoicesrpc_pb2_grpc import InvoicesStub
from lightning.proto.lnrpc_pb2_grpc import LightningStub
from lightning.proto.peersrpc_pb2_grpc import PeersStub
from lightning.proto.routerrpc_pb2_grpc import RouterStub
from lightning.proto.stateservice_pb2_grpc import StateStub
from lightning.proto.walletrpc_pb2_grpc import WalletKitStub

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

READ_SECONDS = 15.0
CHANGE_SECONDS = 30.0
#: Lists that grow with the node; LND builds some of them row by row.
LIST_SECONDS = 60.0

#: Without the ping time-out a silent peer is noticed only after minutes, whatever the keepalive says.
#: LND refuses pings closer than 5 s, and pings on an idle connection. Its lists outgrow gRPC's 4 MiB.
#: A node that comes back is tried again within seconds, not after gRPC's two minutes.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", 200 * 1024 * 1024),
)


class Begun:
    """Stubs whose calls with one answer are begun as those with many, which their own thread reads when it likes.

    `future` would end them in a thread of gRPC's, for a third more of the processor's time. On the wire they are the
    same. The channel is one of its own, since that is said of a channel: connected at its first call, and to the node
    that the link's other one was found to lead to.
    """

    def __init__(self, target: str, secure: grpc.ChannelCredentials) -> None:
        options = (*CHANNEL_OPTIONS, (ChannelOptions.SingleThreadedUnaryStream, 1))
        self._channel = grpc.secure_channel(target, secure, options=options)  # closed once nobody has it
        self.unary_stream = self.unary_unary = self._channel.unary_stream
        self.stream_stream, self.stream_unary = self._channel.stream_stream, self._channel.stream_unary
        self.invoices = InvoicesStub(self)  # type: ignore[call-overload]
        self.lightning = LightningStub(self)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Link:
    """One open connection and what it was opened for."""

    opened_for: tuple[int, int]  # this process, this version of the certificate
    channel: grpc.Channel
    lightning: LightningStub
    invoices: InvoicesStub
    wallet: WalletKitStub
    chain: ChainKitStub
    announcing: PeersStub
    router: RouterStub
    state: StateStub
    begun: Begun


class Calls:
    """Calls to one node. The connection is made at the first call, in the process that makes it."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._lock = Lock()
        self._link: Link | None = None

    def link(self) -> Link:
        """A connection that belongs to this process and leads to the right node, of the right network.

        A connection inherited through a fork is left alone: it is the parent's, and using or closing it
        here may hang either. Raises: NodeUnavailable.
        """
        wanted = (os.getpid(), self._credentials.certificate_changed_at())
        link = self._link
        if link is None or link.opened_for != wanted:
            with self._lock:
                link = self._link
                if link is None or link.opened_for != wanted:
                    link = self._link = self._open(wanted)
        return link

    def macaroon(self) -> bytes:
        """What we show at each call; empty where we have none. Raises: NodeUnavailable."""
        return bytes.fromhex(dict(self._credentials.metadata()).get("macaroon", ""))

    def _open(self, opened_for: tuple[int, int]) -> Link:
        secure = self._credentials.channel_credentials()
        channel = grpc.secure_channel(self._credentials.target, secure, options=CHANNEL_OPTIONS)
        link = Link(
            opened_for,
            channel,
            LightningStub(channel),
            InvoicesStub(channel),
            WalletKitStub(channel),
            ChainKitStub(channel),
            PeersStub(channel),
            RouterStub(channel),
            StateStub(channel),
            Begun(self._credentials.target, secure),
        )
        try:
            self._require_the_right_node(link)
        except NodeUnavailable:
            channel.close()
            raise
        return link

    def _require_the_right_node(self, link: Link) -> None:
        """Asked once for each connection: addresses, money and orders of another one must not be mixed in."""
        wanted, recognises = self._credentials.network, self._credentials.recognises
        if not wanted and recognises is None:
            return
        info = mapping.node_info(self.read(link.lightning.GetInfo, lnrpc_pb2.GetInfoRequest()))
        if wanted and info.network != wanted:
            raise NodeUnavailable(f"The node is on {info.network}, not on {wanted}.", reason="NETWORK_MISMATCH")
        if recognises is not None and not recognises(info.pubkey):
            raise NodeUnavailable(f"Our records are not of the node {info.pubkey}.", reason="ANOTHER_NODE")

    def read(
        self,
        call: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        seconds: float = READ_SECONDS,
    ) -> Response:
        """The node's answer; nothing changes. Raises: NodeUnavailable, or what the text means."""
        return self._call(call, request, seconds=seconds, changing=False)

    def change(
        self,
        call: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        seconds: float = CHANGE_SECONDS,
    ) -> Response:
        """The node did it. Raises: OutcomeUnknown when it may have, or what the text means."""
        require_no_transaction()
        return self._call(call, request, seconds=seconds, changing=True)

    def begun(
        self, call: Callable[..., grpc.CallIterator[Response]], request: Message, *, seconds: float = CHANGE_SECONDS
    ) -> Callable[[], Response]:
        """The node is asked to change something; this thread goes on, and waits when it calls what it gets: `change`.

        `call` is of `Link.begun`. Who lets go of it without waiting stops nothing inside the node.
        """
        require_no_transaction()
        return self._begun(call, request, seconds=seconds, changing=True)

    def reading(
        self, call: Callable[..., grpc.CallIterator[Response]], request: Message, *, seconds: float = READ_SECONDS
    ) -> Callable[[], Response]:
        """As `begun`, where nothing changes: `read`."""
        return self._begun(call, request, seconds=seconds, changing=False)

    def _begun(
        self, call: Callable[..., grpc.CallIterator[Response]], request: Message, *, seconds: float, changing: bool
    ) -> Callable[[], Response]:
        stream = call(request, timeout=seconds, metadata=self._credentials.metadata())
        return partial(_answer_of, stream, request.DESCRIPTOR.full_name, changing=changing)

    def begin(
        self,
        call: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        seconds: float,
    ) -> Future[Response]:
        """The node is asked to change something, and nobody's thread waits: the future ends as `change` would.

        Cancelling it stops nothing inside the node.
        """
        require_no_transaction()
        answer: Future[Response] = Future()
        asked: Any = call.future(request, timeout=seconds, metadata=self._credentials.metadata())
        asked.add_done_callback(lambda done: _pass_on(done, answer, request.DESCRIPTOR.full_name))
        answer.add_done_callback(lambda done: asked.cancel() if done.cancelled() else None)
        return answer

    def _call(
        self,
        call: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        seconds: float,
        changing: bool,
    ) -> Response:
        metadata = self._credentials.metadata()
        try:
            return call(request, timeout=seconds, metadata=metadata)
        except grpc.RpcError as error:
            raise mapping.error_of(error, call=request.DESCRIPTOR.full_name, changing=changing) from None

    def first_of(
        self, call: Callable[..., grpc.CallIterator[Response]], request: Message, *, seconds: float
    ) -> Response:
        """The first word of a stream that changes something; then it is let go, and the node goes on by itself.

        Raises: OutcomeUnknown where none came in time, or what the text means.
        """
        stream = self.changing_stream(call, request, seconds=seconds)
        try:
            first: Response = next(iter(stream))
        except grpc.RpcError as error:
            raise mapping.error_of(error, call=request.DESCRIPTOR.full_name, changing=True) from None
        except StopIteration:
            raise OutcomeUnknown(f"{request.DESCRIPTOR.full_name}: ended without a word") from None
        stream.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs left it untyped
        return first

    def changing_stream(
        self, call: Callable[..., grpc.CallIterator[Response]], request: Message, *, seconds: float
    ) -> grpc.CallIterator[Response]:
        """The node has been asked; what it answers is read from the stream."""
        require_no_transaction()
        return call(request, timeout=seconds, metadata=self._credentials.metadata())


def _answer_of(stream: grpc.CallIterator[Response], name: str, *, changing: bool) -> Response:
    """The one that there is, once the call has ended well."""
    try:
        for answer in list(stream):
            return answer
    except grpc.RpcError as error:
        raise mapping.error_of(error, call=name, changing=changing) from None
    raise (OutcomeUnknown if changing else NodeUnavailable)(f"{name}: ended without a word")


def _pass_on(asked: Any, answer: Future[Any], name: str) -> None:
    """What the future of gRPC ends with, ours ends with."""
    if not answer.set_running_or_notify_cancel():
        return
    try:
        answer.set_result(asked.result())
    except grpc.RpcError as error:
        answer.set_exception(mapping.error_of(error, call=name, changing=True))
    except grpc.FutureCancelledError:
        answer.set_exception(NodeUnavailable(f"{name}: the connection was closed"))


def require_no_transaction() -> None:
    """No database transaction is open, except the one a test itself lives in.

    What the node does cannot be rolled back: an intent must be committed before the node is asked.
    Raises: RuntimeError.
    """
    if not settings.configured:
        return
    for connection in connections.all(initialized_only=True):
        if any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
            raise RuntimeError("A call that changes the node was made inside a database transaction.")
