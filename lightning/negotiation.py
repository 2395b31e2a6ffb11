"""One channel being negotiated: the OpenChannel stream, read with a limit to every wait."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Self

import grpc

from lightning import mapping
from lightning.errors import LightningError, OutcomeUnknown
from lightning.proto.lnrpc_pb2 import OpenStatusUpdate
from lightning.types import FundingRequest, Outpoint

#: What the stream ended with: an error, or None where the node simply closed it.
_End = grpc.RpcError | None


class _GivenUp:
    """Put among the updates by who does not want to wait any longer."""


class Negotiation:
    """One channel being negotiated (the OpenChannel stream). Dropping it does not stop the node."""

    def __init__(self, stream: grpc.CallIterator[OpenStatusUpdate]) -> None:
        self._stream = stream
        self._updates: SimpleQueue[OpenStatusUpdate | _End | _GivenUp] = SimpleQueue()
        # gRPC's own iterator waits for ever; a thread that reads on lets each wait have its limit.
        Thread(target=self._read_on, name="negotiation", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def funding_request(self, *, timeout_seconds: float) -> FundingRequest:
        """What our node and the peer agreed to fund (psbt_fund).

        Raises: PeerOffline, Rejected(reason), InsufficientFunds, NodeUnavailable: there is no channel;
        OutcomeUnknown when the time ran out or the stream broke.
        """
        asked = self._wait_for("psbt_fund", timeout_seconds).psbt_fund
        return FundingRequest(asked.funding_address, asked.funding_amount)

    def pending_outpoint(self, *, timeout_seconds: float) -> Outpoint:
        """The channel is pending at our node (chan_pending).

        Raises: OutcomeUnknown only, with the reason where there is one: once the PSBT was verified,
        either side may hold the channel although the stream speaks of a failure.
        """
        try:
            return mapping.pending_outpoint(self._wait_for("chan_pending", timeout_seconds).chan_pending)
        except OutcomeUnknown:
            raise
        except LightningError as error:
            raise OutcomeUnknown(str(error), reason=error.reason) from error

    def give_up(self) -> None:
        """Who waits, or waits next, waits no longer: as if the time had run out. To be called from another thread."""
        self._updates.put(_GivenUp())

    def close(self) -> None:
        """We read no further. The node goes on with what it is doing."""
        self._stream.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs left it untyped

    def _read_on(self) -> None:
        end: _End = None
        try:
            for update in self._stream:
                self._updates.put(update)
        except grpc.RpcError as error:
            end = error
        self._updates.put(end)

    def _wait_for(self, wanted: str, timeout_seconds: float) -> OpenStatusUpdate:
        until = monotonic() + timeout_seconds
        while True:
            try:
                update = self._updates.get(timeout=max(until - monotonic(), 0))
            except Empty:
                raise OutcomeUnknown(f"OpenChannel: no {wanted} in time", reason="PEER_NOT_REACHABLE") from None
            if isinstance(update, _GivenUp):
                words = f"OpenChannel: no {wanted} before others had their turn"
                raise OutcomeUnknown(words, reason="PEER_NOT_REACHABLE")
            if not isinstance(update, OpenStatusUpdate):
                self._updates.put(update)  # whoever asks again hears the same
                raise self._ended(update, wanted)
            if update.WhichOneof("update") == wanted:
                return update

    @staticmethod
    def _ended(end: _End, wanted: str) -> LightningError:
        if end is None:
            return OutcomeUnknown(f"OpenChannel: ended before {wanted}")
        return mapping.error_of(end, call="OpenChannel", changing=True)
