"""docs/wallets.md is true: what it sends is sent, what it shows is compared; its table is the one that is tested."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from lsps import refusing
from lsps.rest import errors
from orders.models import NodeSnapshot
from tests.factories import OrderFactory
from tests.fakes import FakeNode
from tests.integration.lsps1 import Wallet
from tests.integration.test_lsps1_order import STATES

PAGE = (Path(settings.BASE_DIR) / "docs" / "wallets.md").read_text()
#: Of its node, and of an order.
_KEY, _ORDER = "02" + "a" * 64, "3f0d2d3c-6a52-4b0f-9a34-0e6a5a9d7c11"
_EXCHANGE = re.compile(r"```text\n(\w+) (\S+)(?: → (\d+))?\n(.*?)```\n\n(?:```json\n(.*?)```)?", re.DOTALL)


def exchanges() -> list[tuple[int, str, str, str, str]]:
    found = _EXCHANGE.findall(PAGE)
    return [(int(status or 200), method, path, body, answer) for method, path, status, body, answer in found]


def alike(shown: Any, said: Any) -> bool:
    """The same keys in the same order, and values of the same kinds; what is a word or a number is the same."""
    if isinstance(shown, dict) and isinstance(said, dict):
        return list(shown) == list(said) and all(alike(shown[name], said[name]) for name in shown)
    if isinstance(shown, str) and re.search(r"[…@]|\dT\d|-.*-|bcrt1|^http|:\d$", shown):
        return isinstance(said, str)
    return bool(shown == said)


@pytest.mark.parametrize(("status", "method", "path", "body", "answer"), exchanges(), ids=lambda value: str(value)[:24])
def test_what_the_page_sends_is_answered_as_it_shows(
    snapshot: NodeSnapshot, node: FakeNode, status: int, method: str, path: str, body: str, answer: str
) -> None:
    path = path.replace("ORDER", str(OrderFactory().pk))
    wallet = Wallet("")
    said = wallet.send(path, body.encode()) if method == "POST" else wallet.get(path)
    assert said.status_code == status
    if answer:
        assert alike(json.loads(answer), said.said), json.dumps(said.said, indent=1)


def test_all_of_its_exchanges_are_found() -> None:
    assert len(exchanges()) == PAGE.count("```text") == 4


def test_it_shows_a_channel_as_one_is_told(snapshot: NodeSnapshot, node: FakeNode) -> None:
    [shown] = [each for each in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) if '"funded_at"' in each]
    assert alike(json.loads(shown), Wallet().get_order(OrderFactory(open=True).pk).said["channel"])


def test_its_table_of_states_is_the_one_that_is_tested() -> None:
    rows = re.findall(r"^\| ([a-z][^|]*) \| (\d+) (\w+) \| (\w+) \| (\w+) \| (\w+) \| (set|–) \|$", PAGE, re.MULTILINE)
    shown = [(what, (int(number), name), *states, there == "set") for what, number, name, *states, there in rows]
    assert shown == [(what, *told) for what, _, *told in STATES]


def test_its_table_of_codes_names_each_status_of_what_is_refused() -> None:
    rows = dict(re.findall(r"^\| (-?\d+) \| ([\d, ]+) \|", PAGE, re.MULTILINE))
    told = {code: {int(status) for status in statuses.split(", ")} for code, statuses in rows.items()}
    for kind, status in errors._KINDS.items():
        assert status in told[str(refusing._CODES[kind])], kind
    for code, status in errors._STATUSES.items():
        assert code == refusing.INTERNAL or status in told[str(code)], code
