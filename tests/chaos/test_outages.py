"""The whole server, in its own processes, while the node or the database is away; and nobody helps afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from lsp_site.running.embedded import EmbeddedPostgres, data_folder
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork
from tests.site.test_run import Server
from tests.site.test_supervisor import eventually

MOUNTS = ["", "/v1", "/api/v1"]
CHANNEL = {"local_balance": 500_000, "remote_balance": 0, "channel_expiry": 4}


class Answer(NamedTuple):
    status: int
    said: dict[str, Any]
    retry_after: str | None


class Site:
    """The running server as its clients see it."""

    def __init__(self, server: Server, network: SimulatedNetwork) -> None:
        self.server = server
        self.network = network

    def ask(self, path: str, body: dict[str, Any] | None = None, **query: Any) -> Answer:
        url = f"http://{self.server.listen}{path}?{urllib.parse.urlencode(query)}"
        raw = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, raw, {"Content-Type": "application/json"})
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            assert answer.headers["Content-Type"] == "application/json", answer.read()
            return Answer(answer.status, json.load(answer), answer.headers["Retry-After"])

    def state(self, quote: dict[str, Any]) -> str:
        """The order's state; empty while there is no answer."""
        return str(self.ask("/channel/order", order_id=quote["order_id"]).said.get("state_name", ""))

    def buy(self) -> dict[str, Any]:
        answer = self.ask("/channel/buy", CHANNEL)
        assert answer.status == 200, answer
        return answer.said

    def paid(self) -> tuple[dict[str, Any], int]:
        """An order whose payment is held, and the number of that payment at the node, which outlives a restart."""
        quote = self.buy()
        number = self.network.lsp.control.pay(quote["ln_invoice"], payer="buyer").id
        until(lambda: self.state(quote) == "PAID", "the payment is held")
        return quote, number

    def claim(self, quote: dict[str, Any]) -> Answer:
        body = {"order_id": quote["order_id"], "node_uri": self.network.buyer.p2p_address}
        return self.ask("/channel/manual_finalise", body)

    def wait_delivered(self, quote: dict[str, Any], payment: int) -> None:
        """By itself, as blocks come: one funding, paid once, a journal without a gap."""

        def is_open() -> bool:
            self.network.mine(1)
            return self.state(quote) == "OPEN"

        until(is_open, "the channel is open", timeout=120, pause=0.5)
        assert self.network.lsp.control.payment(payment).state == SUCCEEDED
        assert len([each for each in self.network.lsp.transactions() if quote["order_id"] in each.label]) == 1
        assert len([each for each in self.network.lsp.channels() if each.memo == quote["order_id"]]) == 1
        events = self.journal(quote)
        assert [version for version, _ in events] == list(range(1, len(events) + 1))
        assert [cause for _, cause in events].count("payment_settled") == 1

    def journal(self, quote: dict[str, Any]) -> list[tuple[int, str]]:
        with psycopg.connect(EmbeddedPostgres(self.server.home).url()) as line:
            asked = "SELECT version, cause FROM orders_orderevent WHERE order_id = %s ORDER BY version"
            return line.execute(asked, [quote["order_id"]]).fetchall()


@pytest.fixture(scope="module")
def site(simulated_network: SimulatedNetwork) -> Iterator[Site]:
    """One server for both outages: it must be as well after the first as it was before."""
    lsp = simulated_network.lsp
    home = Path(tempfile.mkdtemp(prefix="lsp-run-"))
    server = Server(
        home,
        LND_GRPC=lsp.grpc_address, LND_TLS_CERT=str(lsp.tls_certificate), LND_MACAROON=str(lsp.admin_macaroon),
        ONCHAIN_CONFIRMATIONS="1", RETRY_FIRST_SECONDS="1", RETRY_MAX_SECONDS="2", PAUSE_IF_BEHIND="off",
    )  # fmt: skip
    server.wait_for("LSP ready at http://")
    reading = threading.Thread(target=lambda: server.said.extend(server.output))  # a full pipe would stop the server
    reading.start()
    yield Site(server, simulated_network)
    server.process.kill()
    server.process.wait()
    reading.join()
    eventually(lambda: not server.processes())
    shutil.rmtree(home)


def test_orders_can_be_seen_and_claimed_while_the_node_is_away_and_are_delivered_when_it_is_back(site: Site) -> None:
    quote, payment = site.paid()
    site.network.lsp.kill()
    for mount in MOUNTS:
        assert site.ask(f"{mount}/node/info").said["node_info"]["public_key"] == site.network.lsp.pubkey
        assert site.ask(f"{mount}/channel/order", order_id=quote["order_id"]).said["state"] == 100
        assert site.ask(f"{mount}/lnurl/channel", order_id=quote["order_id"]).said["tag"] == "channelRequest"
        refused = site.ask(f"{mount}/channel/buy", CHANNEL)
        assert (refused.status, refused.said["code"]) == (200 if mount else 503, "not_available")
        assert refused.retry_after is not None
    assert site.claim(quote).status == 200
    assert site.state(quote) == "URI_SET"
    site.network.lsp.start()
    site.wait_delivered(quote, payment)
    site.buy()


def test_a_killed_database_costs_no_payment_and_the_order_goes_on_by_itself(site: Site) -> None:
    quote, payment = site.paid()
    assert_refused_until_it_is_back(site, quote)
    until(lambda: site.claim(quote).status == 200, "it is claimed")
    assert_refused_until_it_is_back(site, quote)  # whatever the opening was at
    site.wait_delivered(quote, payment)


def assert_refused_until_it_is_back(site: Site, quote: dict[str, Any]) -> None:
    """PostgreSQL is killed -9: until it is started again every answer is a refusal in the manner of its mount."""
    pid = (data_folder(site.server.home) / "postmaster.pid").read_text().split()[0]
    os.kill(int(pid), signal.SIGKILL)
    order = {"order_id": quote["order_id"]}
    until(lambda: site.ask("/channel/order", **order).status == 503, "it is missed", pause=0)
    refusals = 0
    while site.ask("/channel/order", **order).status == 503:
        for mount in MOUNTS:
            for answer in (site.ask(f"{mount}/channel/buy", CHANNEL), site.ask(f"{mount}/node/info")):
                if "error" in answer.said:
                    assert (answer.status, answer.said["code"]) == (200 if mount else 503, "not_available")
                    assert answer.retry_after is not None
                    refusals += 1
            step = site.ask(f"{mount}/lnurl/channel", **order)
            assert step.status == 200 and step.said["status"] in {"OK", "ERROR"}
    assert refusals
