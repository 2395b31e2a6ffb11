"""Hundreds of LSPS1 requests that the OpenAPI file allows, or nearly: no 5xx, no answer that it does not describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from lsps import lsps1
from lsps.lsps1 import CreateOrder
from lsps.refusing import TITLES, Refusal
from tests.factories import OrderFactory, SnapshotFactory, pubkey
from tests.fakes import FakeNode, regtest_address
from tests.integration.described import CHECKS, lsps1_description, make_knowing

CASES = 100
#: 20,000: most of them where there is most to say.
LONG_CASES = {"/api/v1/get_info": 2_000, "/api/v1/create_order": 14_000, "/api/v1/get_order": 4_000}

api = schemathesis.openapi.from_dict(lsps1_description())
api.app = get_wsgi_application()
OPERATIONS = [found.ok() for found in api.get_all_operations()]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
GOOD = {
    "lsp_balance_sat": ["1000000", "100000", 500_000],
    "client_balance_sat": ["0", "50000", 0],
    "required_channel_confirmations": [0, 1, 6],
    "funding_confirms_within_blocks": [3, 6, 144],
    "channel_expiry_blocks": [1, 144, 6048, 12_096],
    "announce_channel": [True, False],
    "token": ["", None, "AlbyHub/1.2", "x"],
    "refund_onchain_address": ["", None, regtest_address(5)],
    "public_key": [pubkey(1), f"{pubkey(2)}@198.51.100.1:9735"],
    "node_uri": [None, f"{pubkey(1)}@198.51.100.2:9735"],
    "host": [None, "", "198.51.100.2:9735"],
    "client_info": [{}, None],
}


@pytest.fixture
def shop(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A shop with orders, and limits that a fuzzer does not reach."""
    fake = FakeNode()
    monkeypatch.setattr("lightning.connection.node", lambda: fake)
    from django.conf import settings as configured

    for name in ("BUY_RATE", "READ_RATE", "CLAIM_RATE"):
        monkeypatch.setattr(configured, name, "1000000/min")
    monkeypatch.setattr(configured, "ALLOWED_HOSTS", ["*"])
    monkeypatch.setattr(configured, "UNPAID_ORDERS_PER_CLIENT", 1_000_000)
    SnapshotFactory()
    for signal in (request_started, request_finished):  # else the test loses its connection
        signal.disconnect(close_old_connections)
    yield [str(OrderFactory(**{trait: True}).pk) for trait in ("paid_lightning", "open", "refunded", "give_up")]
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def fuzz(operation: Any, orders: list[str], cases: int, **how: Any) -> None:
    """So many requests, by what the file allows and by what it does not; each answer is as it says."""

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        **how,
    )
    @given(case=st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)), data=st.data())
    def ask(case: Any, data: Any) -> None:
        make_knowing(case, {**GOOD, "order_id": orders}, data.draw)
        case.call_and_validate(checks=CHECKS)

    ask()


each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)


@each_operation
def test_every_answer_is_described_and_none_is_a_defect(shop: list[str], operation: Any) -> None:
    fuzz(operation, shop, CASES, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(3600)
@each_operation
def test_of_twenty_thousand_requests_none_is_a_defect(shop: list[str], operation: Any) -> None:
    fuzz(operation, shop, LONG_CASES[operation.path])


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from([*GOOD, "order_id", "x"]) | st.text(), ANYTHING) | ANYTHING)
def test_whatever_is_sent_is_read_or_refused_by_name(sent: Any) -> None:
    try:
        assert isinstance(lsps1.read_create_order(sent, network="regtest"), CreateOrder)
    except Refusal as refusal:
        assert refusal.code in TITLES and refusal.sentence
        names = refusal.unrecognized or ([refusal.about] if refusal.about else [])
        assert names or not isinstance(sent, dict)


@settings(max_examples=500, deadline=None)
@given(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in GOOD.items()}))
def test_what_means_something_is_read_or_a_contradiction(sent: dict[str, Any]) -> None:
    try:
        asked = lsps1.read_create_order(sent, network="regtest")
    except Refusal as refusal:
        assert refusal.about == "node_uri"
        return
    assert asked.token == sent["token"]
    assert str(asked.wanted.lsp_balance_sat) == str(sent["lsp_balance_sat"])
