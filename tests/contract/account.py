"""What was asked of each node and what was heard: so that a gap in the suite is seen, and a difference."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from inspect import getmembers, isasyncgen, isfunction
from typing import Any, NamedTuple

from lightning import mapping, refusals
from lightning.errors import LightningError
from lightning.interception import Interception
from lightning.negotiation import Negotiation
from lightning.node import LndNode
from lightning.streams import LndStreams

#: What the suite promises to test whole.
CLASSES = (LndNode, Negotiation, LndStreams, Interception)


class Heard(NamedTuple):
    """One way in which a call ended otherwise than well."""

    method: str
    error: str
    reason: str


@dataclass
class Account:
    """All of it for one node."""

    called: set[str] = field(default_factory=set)
    heard: dict[str, set[Heard]] = field(default_factory=lambda: defaultdict(set))  # by test
    rows: set[str] = field(default_factory=set)
    sentences: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by test


class Book:
    """The accounts of both nodes, and the one that is being written."""

    def __init__(self) -> None:
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.node = ""
        self.test = ""
        self._depth = threading.local()

    @property
    def open(self) -> Account:
        return self.accounts[self.node]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What tests call is written down; what those calls make of other calls is not."""
        before = [(owner, name, function) for owner in CLASSES for name, function in _public(owner)]
        mapping_refusal = mapping.refusal
        for owner, name, function in before:
            setattr(owner, name, self._listened(f"{owner.__name__}.{name}", function))
        mapping.refusal = self._read
        try:
            yield
        finally:
            mapping.refusal = mapping_refusal
            for owner, name, function in before:
                setattr(owner, name, function)

    def _listened(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def listened(*args: Any, **kwargs: Any) -> Any:
            if getattr(self._depth, "inside", False):
                return function(*args, **kwargs)
            self._depth.inside = True
            try:
                result = function(*args, **kwargs)
            except LightningError as error:
                self._ended(name, error)
                raise
            finally:
                self._depth.inside = False
            if isasyncgen(result):
                return self._followed(name, result)
            self.open.called.add(name)
            return result

        return listened

    async def _followed(self, name: str, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            async for value in stream:
                self.open.called.add(name)
                yield value
        except LightningError as error:
            self._ended(name, error)
            raise

    def _ended(self, name: str, error: LightningError) -> None:
        self.open.heard[self.test].add(Heard(name, type(error).__name__, error.reason))

    def _read(self, text: str) -> refusals.Refusal | None:
        self.open.sentences[self.test].add(_without_particulars(text))
        self.open.rows |= rows_of(text)
        return refusals.refusal(text)


def methods() -> set[str]:
    """All that can be called, by its name."""
    return {f"{owner.__name__}.{name}" for owner in CLASSES for name, _ in _public(owner)}


def promised(errors: set[str]) -> set[Heard]:
    """What the docstrings say of each method's errors; without a word of its own: any."""
    found: set[Heard] = set()
    for owner in CLASSES:
        for name, function in _public(owner):
            said = (function.__doc__ or "").partition("Raises:")[2]
            for error, words in re.findall(r"\b([A-Z]\w+)(?:\(([^)]*)\))?", said):
                reasons = re.findall(r'"(\w+)"', words) or [""]
                if error in errors:
                    found |= {Heard(f"{owner.__name__}.{name}", error, reason) for reason in reasons}
    return found


def all_rows() -> set[str]:
    """Every row of the tables of refusals, by its pattern."""
    return {pattern for table in (refusals._NODE_SAYS, refusals._PEER_SAYS) for pattern, _ in table}


def rows_of(text: str) -> set[str]:
    """The row that gives the sentence its meaning."""
    text = refusals._WRAPPING.sub("", text.strip())
    peer = refusals._PEER_SPEAKS.search(text)
    table, words = (refusals._PEER_SAYS, peer["words"]) if peer else (refusals._NODE_SAYS, text)
    return set([pattern for pattern, _ in table if re.search(pattern, words, re.IGNORECASE)][:1])


def _public(owner: type) -> list[tuple[str, Callable[..., Any]]]:
    return [(name, function) for name, function in getmembers(owner, isfunction) if not name.startswith("_")]


def _without_particulars(text: str) -> str:
    """Keys, ids and amounts differ from node to node."""
    return re.sub(r"\d[\d.]*", "0", re.sub(r"\b[0-9a-f]{16,}\b", "#", text))
