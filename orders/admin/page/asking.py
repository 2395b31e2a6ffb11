"""A question to the node that no page waits for long: answered in time, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from threading import BoundedSemaphore, Thread
from typing import Final, TypeVar

from django.db import connections

from lightning.errors import LightningError

log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: In each process: a node that answers nothing keeps no more threads than these.
AT_ONCE: Final = 2

_turns = BoundedSemaphore(AT_ONCE)


class Unknown(Exception):
    """Nobody can say now; the message is why, for people."""


def within(seconds: float, question: Callable[[], _T]) -> _T:
    """The answer. A thread of its own waits for it, so that what hangs there does not hang here. Raises: Unknown."""
    if not _turns.acquire(blocking=False):
        raise Unknown("the node is slow to answer, and others wait for it")
    answer: Future[_T] = Future()
    Thread(target=_ask, args=(question, answer), daemon=True, name="asking the node").start()
    try:
        return answer.result(timeout=seconds)
    except TooLate:
        raise Unknown(f"the node has not answered within {seconds:g} s") from None
    except LightningError as error:
        log.info("the node could not be asked for a page: %s", error)
        raise Unknown("the node cannot be asked") from error
    except Exception as error:  # a page of records is told all the same
        log.exception("a question to the node failed")
        raise Unknown("the question failed by a fault of the server; the log says which") from error


def _ask(question: Callable[[], _T], answer: Future[_T]) -> None:
    try:
        answer.set_result(question())
    except BaseException as error:  # noqa: BLE001  # it is raised where the answer is waited for
        answer.set_exception(error)
    finally:
        connections.close_all()  # this thread's own
        _turns.release()
