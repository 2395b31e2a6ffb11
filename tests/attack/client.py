"""One who asks the API, from an address of his own."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    status: int
    said: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def retry_after_seconds(self) -> int:
        return int(self.headers.get("Retry-After", "1"))


class Client:
    """Behind a proxy that says where each request came from. Raises: OSError where there is no answer."""

    def __init__(self, port: int, address: str) -> None:
        self.port = port
        self.address = address

    def ask(self, method: str, path: str, body: Any = None, *, seconds: float = 90, **headers: str) -> Answer:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        named = {"X-Forwarded-For": self.address, "Content-Type": "application/json", **headers}
        raw = body if body is None or isinstance(body, str) else json.dumps(body)
        try:
            line.request(method, path, raw, {name.replace("_", "-"): value for name, value in named.items()})
            answer = line.getresponse()
            content = answer.read()
        except http.client.HTTPException as problem:
            raise OSError(str(problem)) from problem
        finally:
            line.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return Answer(answer.status, json.loads(content) if is_json else content.decode(), dict(answer.headers))

    def buy(self, local_sat: int, *, weeks: int = 1, **more: Any) -> Answer:
        body = {"local_balance": local_sat, "remote_balance": 0, "channel_expiry": weeks, **more}
        return self.ask("POST", "/channel/buy", body)

    def claim(self, order_id: str, node_uri: str) -> Answer:
        return self.ask("POST", "/channel/manual_finalise", {"order_id": order_id, "node_uri": node_uri})

    def order(self, order_id: str) -> dict[str, Any]:
        answer = self.ask("GET", "/channel/order?" + urlencode({"order_id": order_id}))
        if answer.status != 200:
            raise OSError(f"an order is not shown: {answer.status} {answer.said}")
        return dict(answer.said)


def wait(seconds: float, until: float) -> None:
    """A pause that does not outlast the attack."""
    time.sleep(max(0.0, min(seconds, until - time.monotonic())))
