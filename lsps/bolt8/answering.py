"""From a message to its answer, whatever happens on the way."""

from __future__ import annotations

import logging
from typing import Final

from lightning.errors import LightningError
from lsps import refusing
from lsps.bolt8 import codec, dialects, methods
from lsps.bolt8.codec import Call, Ignored, Unfit
from lsps.refusing import INTERNAL, NOT_AVAILABLE, Refusal
from orders.errors import DATABASE_TROUBLE, OrderError

log = logging.getLogger(__name__)

_LATER: Final = Refusal(NOT_AVAILABLE, "We cannot do this now; please try again later.", again_in_seconds=10)
_DEFECT: Final = Refusal(INTERNAL, "Something went wrong on our side.")
TOO_MANY: Final = Refusal(NOT_AVAILABLE, "Too many requests: please ask more slowly.", again_in_seconds=5)


def begun(peer: str, payload: bytes) -> bytes | Call | None:
    """The answer; or, of what may wait for the node, the request, for `answer`. None: nothing is answered."""
    read = codec.read(payload)
    if isinstance(read, Ignored):
        log.debug("peer=%s sent what we do not answer: %s", peer, read.why)
        return None
    if isinstance(read, Unfit):
        log.info("peer=%s sent no request: %s", peer, read.refusal)
        return codec.error(read.id, dialects.PLAIN.error(read.refusal))
    return read if _is_slow(read) else answer(peer, read)


def refused(payload: bytes, refusal: Refusal) -> bytes | None:
    """The answer to a request that is not even looked at."""
    read = codec.read(payload)
    return codec.error(read.id, dialects.of(read).error(refusal)) if isinstance(read, Call) else None


def answer(peer: str, call: Call) -> bytes:
    """What the peer is told. Never raises."""
    try:
        return codec.result(call.id, methods.of(call).answer(peer, call))
    except Exception as problem:  # noqa: BLE001  a peer hears of no stack, whatever it was
        refusal = _refusal(problem)
    return codec.error(call.id, dialects.of(call).error(refusal))


def _is_slow(call: Call) -> bool:
    return call.method in methods.METHODS and methods.METHODS[call.method].is_slow


def _refusal(problem: Exception) -> Refusal:
    match problem:
        case Refusal():
            return problem
        case OrderError():
            return refusing.of(problem)
        case LightningError():
            log.warning("the node did not answer a peer: %s %s", type(problem).__name__, problem.reason)
            return _LATER
        case _ if isinstance(problem, DATABASE_TROUBLE):
            log.warning("the database did not answer a peer: %s", problem)
            return _LATER
    log.error("a defect while answering a peer", exc_info=problem)
    return _DEFECT
