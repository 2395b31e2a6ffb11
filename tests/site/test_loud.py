"""A whole purchase by real processes that log everything: what stands in the logs is no order's id, and no secret."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.site.conftest import NO_NODE, Visited, made
from tests.site.test_run import Server, home
from tests.site.test_supervisor import eventually

__all__ = ["home"]  # a fixture

#: Every order, with what nobody may read in a log.
SCRIPT = """
import json
from orders import keys
from orders.models import ChannelOrder
print(json.dumps([
    {"state": o.state, "secrets": [str(o.pk), o.pk.hex, keys.order_token(o.pk), keys.preimage(o.pk).hex()]}
    for o in ChannelOrder.objects.all()
]))
"""


class Loud(Visited):
    """`make run` on its simulated node, every process telling all that it does."""

    def __init__(self, home: Path) -> None:
        Server.__init__(self, home, DJANGO_SETTINGS_MODULE="tests.site.loud", **NO_NODE)
        self.wait_for("LSP ready at http://")
        self.reader = threading.Thread(target=self.said.extend, args=(self.output,))  # no pipe fills up
        self.reader.start()

    def end(self) -> str:
        """All that it has said."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)
        self.reader.join(90)
        return "".join(self.said)

    def ask(self, path: str, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.listen}{path}", data, {"Content-Type": "application/json"} | headers
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return dict(json.loads(answer.read()))
        except urllib.error.HTTPError:
            return {}

    def orders(self) -> list[dict[str, Any]]:
        command = shlex.join([sys.executable, "manage.py", "shell", "-v0", "-c", SCRIPT])
        return list(json.loads(self.beside(command)))


@pytest.fixture
def loud(home: Path) -> Iterator[Loud]:
    server = Loud(home)
    yield server
    server.end()
    eventually(lambda: not server.processes())


def mishaps(server: Loud) -> None:
    """An order, and all that a client may do wrong with it."""
    quote = server.ask("/channel/buy", {"local_balance": 500_000, "channel_expiry": 4}, **{"Idempotency-Key": "k" * 22})
    id_, token = quote["order_id"], quote["order_token"]
    for shown in (token, token[:-1], ""):
        server.ask("/channel/manual_finalise", {"order_id": id_, "node_uri": "x", "order_token": shown})
        server.ask(f"/lnurl/channel?{urlencode({'k1': id_, 'cancel': 1, 'order_token': shown})}")
    for path in (f"/channel/order?order_id={id_}", f"/channel/order?order_id={id_.replace('-', '').upper()}"):
        server.ask(path)
        server.ask(f"/{id_}{path}")
        server.ask(path, {})


def test_found_b1_a_whole_purchase_at_the_highest_level_tells_no_orders_id(loud: Loud) -> None:
    loud.shell(shlex.join(made("buy")))
    mishaps(loud)
    orders = loud.orders()
    assert {order["state"] for order in orders} >= {"open", "created"}
    said = loud.end()
    for order in orders:
        assert [secret for secret in order["secrets"] if secret.lower() in said.lower()] == []
        assert f"order={order['secrets'][0][:8]} version=1 " in said  # it was listened to
    assert "UPDATE" in said and "/channel/manual_finalise" in said
