"""What the logs say: one line for each event, with the order it is about, and nothing that must stay secret."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as configured
from django.db import connection

from lsp_site.logs import KeyValueFormatter
from orders import keys
from simulator.control import FAIL
from tests.chaos.standby import Standby
from tests.chaos.test_failover import begin
from tests.chaos.trials import Trial
from watch import alerting

__all__ = ["begin"]  # fixtures

PASSWORD = "the-password-of-the-database"


class Lines(logging.Handler):
    """All that is logged, as the server writes it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(KeyValueFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Everything, at DEBUG, the statements to the database included."""
    handler, root = Lines(), logging.getLogger()
    names = [name for name in logging.root.manager.loggerDict if logging.getLogger(name).level > logging.DEBUG]
    before = {name: logging.getLogger(name).level for name in names} | {"root": root.level}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    connection.force_debug_cursor = True
    yield handler.lines
    connection.force_debug_cursor = False
    root.removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name if name != "root" else None).setLevel(level)


def secrets_of(order_id: UUID) -> dict[str, str]:
    return {
        "order's id": str(order_id),
        "order's id without its hyphens": order_id.hex,
        "preimage": keys.preimage(order_id).hex(),
        "order token": keys.order_token(order_id),
        "preimage key": configured.PREIMAGE_KEY,
        "secret key": configured.SECRET_KEY,
        "macaroon": Path(configured.LND_MACAROON).read_bytes().hex(),
        "alert's password": PASSWORD,
    }


def replace(trial: Trial, token: str) -> None:
    """The claim, corrected: the token in a body, and in a query."""
    node = {"node_uri": trial.network.buyer.p2p_address, "private": True, "order_token": token}
    body = {"order_id": trial.quote["order_id"], **node}
    trial.shop.client.post("/channel/manual_finalise", body, content_type="application/json")
    query = {"k1": trial.quote["order_id"], "remoteid": trial.network.buyer.pubkey, "order_token": token}
    trial.shop.client.get("/lnurl/channel", query)


def a_purchase_with_mishaps(trial: Trial) -> UUID:
    """A node that fails, a peer that is away, a request that is wrong, an alert that reaches nobody."""
    trial.shop.client.post("/channel/buy", b"{", content_type="application/json")
    trial.buy()
    trial.pay()
    trial.turns()
    trial.network.buyer.kill()
    trial.claim()
    replace(trial, "0" * 64)
    replace(trial, trial.quote["order_token"])
    trial.turns()
    trial.network.buyer.start()
    trial.control.add_fault("PublishTransaction", FAIL, times=1)
    trial.turns()
    alerting.send(["a test"])
    trial.turns(blocks=8)
    return trial.shop.order(trial.quote).pk


def test_a_purchase_at_the_highest_level_tells_no_secret(
    begin: Callable[..., Any], lines: list[str], settings: Any
) -> None:
    settings.ALERT_URL = (f"jsons://lsp:{PASSWORD}@127.0.0.1:9/hush",)
    with begin(Standby()) as trial:
        order_id = a_purchase_with_mishaps(trial)
        everything = "\n".join(lines)
        told = [what for what, secret in secrets_of(order_id).items() if secret in everything]
    assert "UPDATE" in everything and "alert not delivered" in everything  # it was listened to
    assert told == []


def test_each_move_of_an_order_is_one_line_with_its_short_id(begin: Callable[..., Any], lines: list[str]) -> None:
    with begin(Standby()) as trial:
        order_id = a_purchase_with_mishaps(trial)
        journal = trial.shop.journal(trial.quote)
    moves = [line for line in lines if "logger=orders.journal" in line]
    assert len(moves) == len(journal)
    for line, cause in zip(moves, journal, strict=True):
        assert f"order={str(order_id)[:8]} " in line and f"cause={cause} " in line
    assert not [line for line in lines if "\n" in line]
