"""Who holds what goes through a node: reads all of it in a thread of its own, and answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightning.errors import NodeUnavailable
from lightning.interception import Interception
from lightning.node import LndNode
from lightning.parts import RESUME, Answer, Circuit, Intercepted
from tests.regtest.waiting import until


class Interceptor:
    """One stream, and what it has told."""

    def __init__(self, node: LndNode) -> None:
        self.stream: Interception = node.intercept()
        self.parts: list[Intercepted] = []
        #: Why it ended; None: it has not.
        self.ended: str | None = None
        threading.Thread(target=self._read, name="interceptor", daemon=True).start()

    def _read(self) -> None:
        try:
            for part in self.stream:
                self.parts.append(part)
        except NodeUnavailable as error:
            self.ended = error.reason

    def answer(self, part: Intercepted, answer: Answer = RESUME) -> bool:
        return self.stream.answer(part.circuit, answer)

    def answer_unasked(self, circuit: Circuit, answer: Answer = RESUME) -> None:
        """Also what we would never say."""
        self.stream._held._fails_at[circuit] = 0
        self.stream.answer(circuit, answer)

    def part(self, number: int = 0, *, of: Callable[[Intercepted], bool] = lambda part: True) -> Intercepted:
        """The part of this number, once it has come."""
        until(lambda: len([each for each in self.parts if of(each)]) > number, "the part has come", timeout=30)
        return [each for each in self.parts if of(each)][number]

    def reason(self) -> str:
        """Why it ended, once it has."""
        until(lambda: self.ended is not None, "the stream has ended", timeout=30)
        return self.ended or ""


@contextmanager
def intercepting(node: LndNode) -> Iterator[Interceptor]:
    """While it lasts. The one before may not be over yet for LND."""
    interceptor = until(lambda: _first(node), "the node asks")
    try:
        yield interceptor
    finally:
        interceptor.stream.close()


def _first(node: LndNode) -> Interceptor | None:
    """LND does not say when it begins to ask: then it refuses another who wants to be asked."""
    interceptor = Interceptor(node)
    threading.Event().wait(0.1)
    node.info()
    until(lambda: interceptor.ended is not None or _is_refused(node), "the node asks")
    return None if interceptor.ended == "interceptor_exists" else interceptor


def _is_refused(node: LndNode) -> bool:
    another = Interceptor(node)
    try:
        return another.reason() == "interceptor_exists"
    finally:
        another.stream.close()
