"""docs/openapi.yaml is what the API is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from lsp_site.views import written_schema
from orders.models import ChannelOrder
from tests.factories import OrderFactory
from tests.integration.conftest import Api

WRITTEN = Path(settings.BASE_DIR) / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    schema: dict[str, Any] = SchemaGenerator(urlconf="orders.api.urls").get_schema(request=None, public=True)
    return schema


def test_the_written_file_is_what_is_served() -> None:
    assert WRITTEN.read_bytes() == written_schema(), "write it anew: make generate"


def test_it_is_valid(described: dict[str, Any]) -> None:
    validate_schema(described)


def test_only_the_specifications_own_paths_are_in_it(described: dict[str, Any]) -> None:
    assert set(described["paths"]) == {
        "/node/info",
        "/channel/buy",
        "/channel/estimate",  # ours: a price without an order
        "/channel/manual_finalise",
        "/channel/refund_address",  # ours: the first server sent nothing back
        "/channel/order",
        "/lnurl/channel",
    }


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("LNURLConnect", {"k1", "tag", "callback", "uri", "status", "reason"}),
        ("ChannelQuote", {"order_id", "ln_invoice", "total_amount", "btc_address", "lnurl_channel"}),
        (
            "ChannelOrder",
            {"_id", "local_balance", "remote_balance", "channel_expiry", "channel_expiry_ts", "order_expiry", "state",
             "total_amount", "btc_address", "created_at", "amount_received", "remote_node", "channel_open_tx",
             "purchase_invoice", "lnurl", "onchain_payments"},
        ),
        (
            "OrderStates",
            {"CREATED", "PAID", "URI_SET", "OPENING", "CLOSING", "GIVE_UP", "CLOSED", "OPEN", "REFUNDED", "EXPIRED",
             "REJECTED"},
        ),
    ],
)  # fmt: skip
def test_every_field_of_the_specifications_models_is_in_it(
    described: dict[str, Any], model: str, fields: set[str]
) -> None:
    schema = described["components"]["schemas"][model]
    assert fields <= set(schema["properties"])
    if model != "LNURLConnect":  # a wallet refuses what does not belong to its step
        assert fields <= set(schema["required"])


def test_an_answer_has_exactly_the_fields_that_it_promises(api: Api, described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    order: ChannelOrder = OrderFactory(open=True)
    said = api.get("/channel/order", {"order_id": str(order.pk)}).said
    assert set(said) == set(schemas["ChannelOrder"]["properties"]) == set(schemas["ChannelOrder"]["required"])
    assert set(api.buy().said) == set(schemas["ChannelQuote"]["properties"])


def test_whatever_may_be_refused_says_how(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for operation in methods.values():
            documented = set(operation["responses"])
            assert documented == {"200"} if path == "/lnurl/channel" else {"200", "429", "503"} <= documented
