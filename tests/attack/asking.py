"""What is asked of the server by messages between nodes (LSPS0), and what is answered."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Final

from simulator.control import Control
from tests.attack.client import wait

_LOOK_SECONDS: Final = 0.1


class Peer:
    """A node of somebody's, whose name costs nothing."""

    def __init__(self, control: Control, name: str) -> None:
        self.name = name
        self._control = control
        self._read = 0

    def say(self, payload: bytes) -> None:
        """It is with our node. Raises: Refused."""
        self._control.say_to_node(self.name, payload)

    def request(self, method: str, **params: Any) -> str:
        """The id of what is asked."""
        asked_by = str(uuid.uuid4())
        self.say(json.dumps({"jsonrpc": "2.0", "id": asked_by, "method": method, "params": params}).encode())
        return asked_by

    def news(self) -> list[dict[str, Any]]:
        """The answers that came since this was last asked."""
        heard = self._control.heard(self.name, skip=self._read)
        self._read += len(heard)
        return [dict(json.loads(data)) for _, data in heard]

    def asks(self, method: str, *, seconds: float, until: float, **params: Any) -> dict[str, Any] | None:
        """The answer; None: none came in so many seconds."""
        asked_by, gives_up = self.request(method, **params), min(time.monotonic() + seconds, until)
        while time.monotonic() < gives_up:
            for answer in self.news():
                if answer["id"] == asked_by:
                    return answer
            wait(_LOOK_SECONDS, gives_up)
        return None
