"""A node that looks at each channel it is offered before it says yes or no."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from tests.regtest.lnd import Lnd

#: What to answer to one offer (a lnrpc.ChannelAcceptRequest): fields of lnrpc.ChannelAcceptResponse, or None for no
#: answer at all, which makes lnd refuse after its `--acceptortimeout` (15 seconds unless told otherwise).
Answer = Callable[[Any], dict[str, Any] | None]


@contextmanager
def answering_channels(lnd: Lnd, answer: Answer) -> Iterator[list[Any]]:
    """While it lasts, `answer` decides about each channel that `lnd` is offered. Yields the offers so far."""
    offers: list[Any] = []
    answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
    call = lnd.rpc.converse("lnrpc.Lightning/ChannelAcceptor", iter(answers.get, None))

    def listen() -> None:
        try:
            for offer in call:
                offers.append(offer)
                if (said := answer(offer)) is not None:
                    answers.put({"pending_chan_id": offer.pending_chan_id, **said})
        except grpc.RpcError:
            pass  # the context has ended, or the node has

    listener = threading.Thread(target=listen, name="channel acceptor", daemon=True)
    listener.start()
    # lnd does not say when it has registered us. The call is on its way before this one, and the pause is ample.
    time.sleep(0.1)
    lnd.info()
    try:
        yield offers
    finally:
        answers.put(None)
        call.cancel()
        listener.join(5)
