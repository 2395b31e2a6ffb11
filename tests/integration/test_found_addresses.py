"""Nodes that buyers name and that we never open to: our own, and what is near it instead of far away.

Each test by the number of what was found.
"""

from __future__ import annotations

from typing import Any

import pytest

from lightning.types import NodeAddress
from orders import actors, queries
from orders.errors import InvalidField
from orders.models import ChannelOrder, NodeSnapshot
from orders.operations import claiming
from tests.factories import OrderFactory, pubkey
from tests.fakes import OUR_KEY
from tests.integration.conftest import Api

#: Another key on the curve, that NODE_URIS names.
CONFIGURED = pubkey(77)


@pytest.mark.parametrize("form", ["{}", "{}@203.0.113.5:9735", "{}@203.0.113.5", "{}@elsewhere.example:1", "  {} "])
@pytest.mark.parametrize("change", [str.lower, str.upper])
class TestOurOwnNode:
    """It could never be opened to, and would be tried until the window is over."""

    @pytest.fixture(autouse=True)
    def named_in_the_settings(self, settings: Any) -> None:
        settings.NODE_URIS = (f"{CONFIGURED.upper()}@lsp.example:9735",)

    @pytest.mark.parametrize("key", [OUR_KEY, CONFIGURED])
    def test_found_c5_it_is_refused_at_purchase(self, api: Api, form: str, change: Any, key: str) -> None:
        answer = api.buy(node_uri=form.format(change(key)))
        assert (answer.status_code, answer.said["field"], answer.said["code"]) == (400, "node_uri", "invalid")
        assert "own node" in answer.said["error"] and not ChannelOrder.objects.exists()

    @pytest.mark.parametrize("key", [OUR_KEY, CONFIGURED])
    @pytest.mark.parametrize("trait", ["paid_lightning", "uri_set"])
    def test_found_c5_it_is_refused_at_the_claim(self, api: Api, form: str, change: Any, key: str, trait: str) -> None:
        order = OrderFactory(**{trait: True})
        uri = form.format(change(key))
        answer = api.post("/channel/manual_finalise", {"order_id": str(order.pk), "node_uri": uri})
        assert (answer.status_code, answer.said["field"]) == (400, "node_uri")
        answer = api.get("/lnurl/channel", {"k1": str(order.pk), "remoteid": uri})
        assert answer.said["status"] == "ERROR" and "own node" in answer.said["reason"]
        before, order.node_pubkey = order.node_pubkey, ""
        order.refresh_from_db()
        assert order.node_pubkey == before


def test_found_c5_it_is_known_at_the_very_first_purchase(api: Api) -> None:
    NodeSnapshot.objects.all().delete()
    queries.our_node().delete()  # type: ignore[union-attr]
    assert api.buy(node_uri=OUR_KEY).said["field"] == "node_uri"


@pytest.fixture
def only_the_internet(settings: Any) -> None:
    settings.DIAL_PRIVATE_ADDRESSES = False


NEAR = ["127.0.0.1:10009", "10.0.0.1", "169.254.169.254:80", "[::1]:9735", "[::ffff:10.0.0.1]", "2130706433", "0x7f.1"]
NEAR += ["127.1:9735", "localhost:10009", "bitcoind:8333", "x.local", "[fe80::1]", "100.64.0.9", "[64:ff9b::7f00:1]"]


@pytest.mark.usefixtures("only_the_internet")
@pytest.mark.parametrize("host", NEAR)
def test_found_b5_what_is_near_our_node_is_refused_at_both_doors(api: Api, host: str) -> None:
    uri = f"{pubkey(5)}@{host}"
    answer = api.buy(node_uri=uri)
    assert (answer.status_code, answer.said["field"]) == (400, "node_uri")
    assert answer.said["error"].startswith("The node's host ")
    order = OrderFactory(paid_lightning=True)
    answer = api.post("/channel/manual_finalise", {"order_id": str(order.pk), "node_uri": uri})
    assert (answer.status_code, answer.said["field"]) == (400, "node_uri")
    answer = api.get("/lnurl/channel", {"k1": str(order.pk), "remoteid": uri})
    assert answer.said["status"] == "ERROR" and answer.said["reason"].startswith("The node's host ")
    order.refresh_from_db()
    assert (order.state, order.node_pubkey) == ("paid", "")


@pytest.mark.usefixtures("only_the_internet")
@pytest.mark.parametrize(
    "host", ["", "@8.8.8.8", "@node.example.org:9735", f"@{'a' * 56}.onion:9735", "@[2606:4700::1]", "@8.8.8.8:22"]
)
def test_found_b5_what_is_of_the_internet_is_taken(api: Api, host: str) -> None:
    assert api.buy(node_uri=pubkey(5) + host).status_code == 200
    order = OrderFactory(paid_lightning=True)
    body = {"order_id": str(order.pk), "node_uri": pubkey(5) + host}
    assert api.post("/channel/manual_finalise", body).status_code == 200


@pytest.mark.parametrize("host", NEAR)
def test_found_b5_on_test_networks_what_is_near_is_taken(api: Api, host: str) -> None:
    assert api.buy(node_uri=f"{pubkey(5)}@{host}").status_code == 200


@pytest.mark.usefixtures("only_the_internet")
@pytest.mark.parametrize(
    "host", ["a@b.example", "%6c.example", "１２７.0.0.1", "127。0。0。1", "bücher.example", "h:1:2"]
)
def test_found_b5_what_can_be_read_in_two_ways_is_no_host(api: Api, host: str) -> None:
    assert api.buy(node_uri=f"{pubkey(5)}@{host}").said["field"] == "node_uri"


def test_found_b5_the_operation_refuses_whoever_asks(db: None, only_the_internet: None) -> None:
    order = OrderFactory(paid_lightning=True)
    with pytest.raises(InvalidField):
        claiming.claim(order.pk, NodeAddress(pubkey(5), "10.0.0.1:1"), announced=None, actor=actors.BUYER)
