"""A node at whose so-manieth call the process dies: what was sent was sent, and nothing after it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightning.negotiation import Negotiation
from lightning.node import LndNode


class Death(BaseException):
    """No handler of ours for what goes wrong at the node may catch it, as none can catch SIGKILL."""


class DyingNode:
    """The node, for a process that has so many calls left to live; it dies before or after the last one."""

    def __init__(self, node: LndNode, calls: int, *, after: bool) -> None:
        self._node = node
        self._left = calls
        self._after = after

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._node, name)
        return self._counted(value) if callable(value) else value

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left <= 0 and not self._after:
                raise Death
            result = call(*args, **kwargs)
            if isinstance(result, Negotiation):
                result = _DyingNegotiation(result, self._counted)
            if self._left <= 0:
                raise Death
            return result

        return counted


class _DyingNegotiation:
    def __init__(self, negotiation: Negotiation, counted: Callable[..., Any]) -> None:
        self._negotiation = negotiation
        self._counted = counted

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._negotiation, name)
        return value if name == "close" else self._counted(value)
