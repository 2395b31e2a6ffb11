"""Thousands of requests to the running server, on orders in every state: no 5xx, no answer that is not described."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from orders import actors, keys
from orders.models import ChannelOrder, Service
from orders.operations import ending, giving_up
from tests.e2e.shop import Shop
from tests.fakes import regtest_address
from tests.integration.described import CHECKS, description, lsps1_description, make_knowing
from tests.integration.lsps1 import ROOTS
from tests.regtest.processes import Program, free_port, release_port
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork

ROOT = Path(__file__).resolve().parents[2]
MOUNTS = ["", "/v1", "/api/v1"]
#: For each operation at each mount; /node/info, which has no arguments, needs one. 6 × 3 × 1,150 > 20,000.
CASES = 1_150
#: LSPS1's three, of which one has no arguments, at two roots: 2 × 2 × 5,100 > 20,000.
LSPS1_CASES = 5_100
_PAID = 25
_BLOCK_EVERY = 200
_ENVIRONMENT = {
    "BUY_RATE": "100000000/s", "READ_RATE": "100000000/s", "CLAIM_RATE": "100000000/s",
    "UNPAID_SHARE_PERCENT": "100", "UNPAID_ORDERS_PER_CLIENT": "1000000",
}  # fmt: skip


class Running:
    """The server's processes on the simulated node, and what they have answered."""

    def __init__(self, shop: Shop, environment: dict[str, str], folder: Path) -> None:
        self.shop = shop
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.session = requests.Session()
        self.answers: Counter[str] = Counter()
        self._programs = [Program(name, folder / f"{name}.log") for name in ("web", "streams")]
        variables = environment | _ENVIRONMENT | {"LISTEN": f"127.0.0.1:{self.port}"}
        environ = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items()), sys.executable]
        web, streams = self._programs
        web.launch([*environ, "-m", "gunicorn", "--config", "python:lsp_site.running.gunicorn", "lsp_site.wsgi"])
        streams.launch([*environ, str(ROOT / "manage.py"), "run_streams"])
        until(self._answers, "the server answers")

    def _answers(self) -> bool:
        try:
            return self.session.get(f"{self.url}/node/info", timeout=5).ok
        except requests.ConnectionError:
            return False

    def count(self, case: Any, answer: Any) -> None:
        """The answer is in the figures; now and then a block comes."""
        said = answer.json()
        error = said.get("error") if isinstance(said, dict) else None
        said = error if isinstance(error, dict) else said
        word = said.get("code") or said.get("status") or "" if isinstance(said, dict) else "list"
        self.answers[f"{case.method:4} {case.operation.path:32} {answer.status_code} {word}"] += 1
        if self.answers.total() % _BLOCK_EVERY == 0:
            self.shop.network.mine(1)

    def stop(self) -> None:
        for program in self._programs:
            program.terminate()
        release_port(self.port)


@pytest.fixture
def simulated_network() -> Iterator[SimulatedNetwork]:
    """One of its own, with coins for all that will be bought: nobody else wants a node with a thousand invoices."""
    with SimulatedNetwork() as running:
        for _ in range(20):
            running.chain.send(running.lsp.new_address(), 10**8)
        running.mine(6)
        yield running


@pytest.fixture
def network(simulated_network: SimulatedNetwork) -> SimulatedNetwork:
    return simulated_network


@pytest.fixture
def running(shop: Shop, server_environment: dict[str, str], tmp_path: Path, settings: Any) -> Iterator[Running]:
    settings.UNPAID_ORDERS_PER_CLIENT, settings.UNPAID_SHARE_PERCENT = 1_000, 100
    started = Running(shop, server_environment, tmp_path)
    yield started
    started.stop()
    print(f"\n{started.answers.total()} cases")
    print("\n".join(f"{number:6} {what}" for what, number in sorted(started.answers.items())))


@pytest.fixture
def known(running: Running) -> dict[str, list[Any]]:
    """What means something to the server: its orders, its products, nodes that exist, amounts that it sells."""
    network: Any = running.shop.network
    nodes = [network.add_peer().p2p_address for _ in range(3)]
    away = network.add_peer()
    away.change(presence="offline")
    nodes += [away.pubkey, away.p2p_address]
    orders = [*orders_in_many_states(running.shop, nodes), str(uuid4())]
    return {
        "order_id": [*orders, ",".join(orders)],
        "k1": orders,
        "node_uri": nodes,
        "remoteid": nodes,
        "remote_id": nodes,
        "product_id": [None, *map(str, Service.objects.values_list("pk", flat=True))],
        "local_balance": [100_000, 123_456, 150_000],
        "remote_balance": [0, 1, 20_000],
        "channel_expiry": [1, 4, 12],
        "private": [True, False, "0", "1", None],
        "cancel": ["0", "0", "0", "1"],
        "order_token": [None, *(keys.order_token(UUID(order_id)) for order_id in orders)],
        "full_data": ["1", "0"],
        "refund_onchain_address": [None, regtest_address(1)],
        "lsp_balance_sat": ["100000", "150000", 123_456],
        "client_balance_sat": ["0", "1", 20_000],
        "required_channel_confirmations": [1, 3],
        "funding_confirms_within_blocks": [3, 6, 144],
        "channel_expiry_blocks": [144, 1008, 12_096],
        "announce_channel": [True, False],
        "token": [None, "", "AlbyHub/1", "btcpay-lsp-plugin"],
        "public_key": nodes,
        "host": [None],
        "client_info": [{}],
        "Idempotency-Key": [*(letter * 22 for letter in "abc"), *(str(uuid4()) for _ in range(50))],
    }


def orders_in_many_states(shop: Shop, nodes: list[str]) -> list[str]:
    """Paid ones, so that claims succeed and channels are opened meanwhile; and one in each state there is a way to."""
    quotes = [shop.buy(remote_balance=number) for number in range(_PAID + 6)]
    for quote in quotes[2:]:
        shop.network.buyer.pay(quote["ln_invoice"])
    until(lambda: ChannelOrder.objects.filter(state="paid").count() == len(quotes) - 2, "they are paid")
    ids = [quote["order_id"] for quote in quotes]
    for quote in quotes[2:5]:
        shop.post("/channel/manual_finalise", order_id=quote["order_id"], node_uri=nodes[-1])
    giving_up.give_up(shop.order(quotes[3]).pk, reason="PEER_NOT_REACHABLE", actor=actors.LSP)
    ending.cancel(shop.order(quotes[4]).pk, actor=actors.staff("ada"))
    ending.cancel(shop.order(quotes[1]).pk, actor=actors.staff("ada"))
    shop.claim(quotes[5])
    until(lambda: shop.network.mine(1) or shop.order(quotes[5]).state == "open", "it is open", pause=0.5)
    states = {shop.order(quote).state for quote in quotes}
    assert states == {"created", "expired", "paid", "uri_set", "give_up", "refunded", "open"}, states
    return ids


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mount", MOUNTS)
def test_the_running_server_answers_as_described_whatever_is_asked(
    mount: str, running: Running, known: dict[str, list[Any]], subtests: pytest.Subtests
) -> None:
    schema = schemathesis.openapi.from_dict(description(mount))
    for found in schema.get_all_operations():
        operation = found.ok()
        with subtests.test(operation.label):
            fuzz(operation, running, known, number=MOUNTS.index(mount))
    assert running.answers.total() >= 6 * CASES


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("root", ROOTS)
def test_the_running_server_answers_lsps1_as_described_whatever_is_asked(
    root: str, running: Running, known: dict[str, list[Any]], subtests: pytest.Subtests
) -> None:
    known = known | {"node_uri": [None]}  # it would have to be that of public_key
    for found in schemathesis.openapi.from_dict(lsps1_description(root)).get_all_operations():
        operation = found.ok()
        with subtests.test(operation.label):
            fuzz(operation, running, known, number=ROOTS.index(root), cases=LSPS1_CASES)
    assert running.answers.total() >= 2 * LSPS1_CASES


def fuzz(operation: Any, running: Running, known: dict[str, list[Any]], number: int, cases: int = CASES) -> None:
    """So many requests, some as the description allows, some not; the first wrong answer is raised.

    The number names them: another number draws others.
    """
    drawn = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @seed(number)
    @given(case=drawn, data=st.data())
    @hypothesis_settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, data: st.DataObject) -> None:
        make_knowing(case, known, data.draw)
        answer = case.call(base_url=running.url, session=running.session)
        running.count(case, answer)
        case.validate_response(answer, checks=CHECKS)

    ask()
