"""A node that stops at a named step of the protocol and waits to be killed, or to be told to go on.

Put around the real one by `LIGHTNING_NODE` in processes that tests start; nothing in the server knows of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.credentials import Credentials
from lightning.negotiation import Negotiation
from lightning.node import LndNode

FOLDER = "LSP_TEST_HOOK"
#: In the order of an opening.
STEPS = (
    "connect", "open_channel", "funding_request", "fund_psbt", "verify_psbt", "pending_outpoint",
    "finalize_psbt", "lease", "publish", "settle_invoice",
)  # fmt: skip
_NEGOTIATION = frozenset({"funding_request", "pending_outpoint"})


def hook_folder() -> Path:
    return Path(os.environ[FOLDER])


def stop_here(point: str) -> None:
    """Where the folder asks for this point: say so, and wait for the file `go`."""
    folder = hook_folder()
    wanted = folder / "point"
    if not wanted.exists() or wanted.read_text() != point:
        return
    wanted.unlink()  # once
    (folder / "reached").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)


def _hooked(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def hooked(*args: Any, **kwargs: Any) -> Any:
        stop_here(f"before {name}")
        result = call(*args, **kwargs)
        stop_here(f"after {name}")
        return result

    return hooked


class HookedNegotiation:
    """A negotiation with the same stops."""

    def __init__(self, negotiation: Negotiation) -> None:
        self._negotiation = negotiation

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._negotiation, name)
        return _hooked(name, value) if name in _NEGOTIATION else value


class HookedNode(LndNode):
    """The real node, with stops before and after each step."""

    def __init__(self, credentials: Credentials) -> None:
        super().__init__(credentials)
        for name in set(STEPS) - _NEGOTIATION - {"open_channel"}:
            setattr(self, name, _hooked(name, getattr(self, name)))

    def open_channel(self, **kwargs: Any) -> Any:
        stop_here("before open_channel")
        negotiation = HookedNegotiation(super().open_channel(**kwargs))
        stop_here("after open_channel")
        return negotiation
