"""What others pay through our node, held until it is answered: LND's HtlcInterceptor, one stream for each node.

LND calls the stream from the loop that forwards everything: while nobody reads, nothing is forwarded. So whoever reads
does nothing else, and answers come from any thread, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Lock

import grpc

from lightning import mapping
from lightning.calls import CHANNEL_OPTIONS
from lightning.credentials import Credentials
from lightning.errors import NodeUnavailable
from lightning.parts import Answer, Circuit, Intercepted
from lightning.proto.routerrpc_pb2 import ForwardHtlcInterceptResponse
from lightning.proto.routerrpc_pb2_grpc import RouterStub

#: Of its own, so that no long list is in a forward's way; and tried again at once, as forwards wait for it.
_OPTIONS = (
    *(option for option in CHANNEL_OPTIONS if "backoff" not in option[0]),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Held:
    """Which parts wait for an answer, and at what height LND itself fails each. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._fails_at: dict[Circuit, int] = {}

    def took(self, part: Intercepted) -> None:
        """LND has asked about it; of one that is on chain it wants no answer any more."""
        with self._lock:
            if part.is_on_chain:
                self._fails_at.pop(part.circuit, None)
            else:
                self._fails_at[part.circuit] = part.auto_fail_height

    def answered(self, circuit: Circuit, say: Callable[[], None]) -> bool:
        """It was said, and the part waits no more; False: nothing was said, as it waited for no answer."""
        with self._lock:
            waited = self._fails_at.pop(circuit, None) is not None
            if waited:
                say()
        return waited

    def block_came(self, height: int) -> None:
        """LND has failed what it held for too long by then, and wants no answer to that."""
        with self._lock:
            for circuit in [each for each, fails_at in self._fails_at.items() if fails_at <= height]:
                del self._fails_at[circuit]

    def clear(self) -> None:
        """Nothing waits."""
        with self._lock:
            self._fails_at.clear()


class Interception:
    """The stream, from now until it ends. Iterate over it in one thread; what else it does, any thread may ask.

    LND knows one such stream: it says of a second that there is one, once that is read. Nothing is asked of the node
    before, as others' payments would wait for that.
    With the node's `requireinterceptor` LND, while there is no such stream, fails what comes anew and keeps what it
    holds; then it is offered again, also what was answered already and has not come to its end. Without it LND lets go
    all that it holds when the stream ends.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._channel = grpc.secure_channel(credentials.target, credentials.channel_credentials(), options=_OPTIONS)
        self._said: SimpleQueue[ForwardHtlcInterceptResponse | None] = SimpleQueue()
        self._held = Held()
        said: Iterator[ForwardHtlcInterceptResponse] = iter(self._said.get, None)
        self._stream = RouterStub(self._channel).HtlcInterceptor(said, metadata=credentials.metadata())

    def __iter__(self) -> Iterator[Intercepted]:
        """Each part that LND holds, those first that it has held before. It ends by an error alone.

        Raises: NodeUnavailable: the stream is over ("interceptor_exists": somebody else has one; "unknown_forward",
        "on_chain": LND did not like an answer).
        """
        try:
            for message in self._stream:
                part = mapping.intercepted(message)
                self._held.took(part)
                yield part
        except grpc.RpcError as error:
            problem = mapping.error_of(error, call="HtlcInterceptor", changing=False)
            raise NodeUnavailable(str(problem), reason=problem.reason) from None
        finally:
            self.close()
        raise NodeUnavailable("HtlcInterceptor: ended by the node")

    def answer(self, circuit: Circuit, answer: Answer) -> bool:
        """The part goes on, or back. False: nothing was said, as it waits for no answer of this stream (any more).

        An answer that LND does not expect ends the stream. So a part is answered once each time it is offered, and
        not at all once it is on chain or LND has failed it.
        Money: `fail` for a part that was let go before may pay it out twice; say of one part always the same.
        """
        return self._held.answered(circuit, lambda: self._said.put(mapping.interception_answer(circuit, answer)))

    def block_came(self, height: int) -> None:
        """LND has failed what it held for too long by then, and wants no answer to that."""
        self._held.block_came(height)

    def close(self) -> None:
        """The stream is over. Repeat: safe."""
        self._held.clear()
        self._said.put(None)
        self._stream.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs left it untyped
        self._channel.close()
