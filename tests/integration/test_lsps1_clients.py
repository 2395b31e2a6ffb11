"""What shipped wallets send and read, as each does it: replayed at both roots.

ZEUS and Alby Hub show a body's `message` or all of it; BTCPay's plugin runs in a browser, and looks into `error`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse

from orders.models import NodeSnapshot, Service
from tests.factories import pubkey
from tests.fakes import FakeNode, regtest_address
from tests.integration.lsps1 import ROOTS, Wallet

ZEUS = {
    "lsp_balance_sat": "500000",
    "client_balance_sat": "0",
    "required_channel_confirmations": 8,
    "funding_confirms_within_blocks": 6,
    "channel_expiry_blocks": 13140,
    "token": "",
    "refund_onchain_address": "",
    "announce_channel": False,
    "public_key": pubkey(1),
    "client_info": {"app": "ZEUS", "app_version": "0.11.3", "node": "embedded-lnd", "node_version": "0.19.2-beta"},
}
ALBY_HUB = {
    "lsp_balance_sat": "1000000",
    "client_balance_sat": "0",
    "required_channel_confirmations": 1,
    "funding_confirms_within_blocks": 3,
    "channel_expiry_blocks": 52560,
    "token": "AlbyHub/1.21.0",
    "refund_onchain_address": regtest_address(21),
    "announce_channel": True,
    "public_key": pubkey(2),
}
BTCPAY = {
    "lsp_balance_sat": "150000",
    "client_balance_sat": "0",
    "required_channel_confirmations": 1,
    "funding_confirms_within_blocks": 6,
    "channel_expiry_blocks": 13140,
    "token": "btcpay-lsp-plugin",
    "announce_channel": True,
    "public_key": pubkey(3),
}


def zeus_reads(answer: Any) -> dict[str, Any]:
    """It looks for an error in the body, not at the status, and takes the payment of an earlier draft too."""
    body: dict[str, Any] = answer.json()
    if body.get("error"):
        return {"shown": body["message"]}
    payment = body["payment"]
    newer = payment.get("bolt11") or payment.get("onchain")
    return {
        "invoice": (payment.get("bolt11") or {}).get("invoice") or payment["lightning_invoice"],
        "total": int(newer["order_total_sat"]),
        "flat_total": int(payment["order_total_sat"]),
        "state": body["order_state"],
        "made": body["created_at"],
    }


def hub_reads(answer: Any) -> dict[str, Any]:
    """In Go: below 300 it decodes into strings, and the invoice's amount must be the fee."""
    if answer.status_code >= 300:
        return {"shown": answer.content.decode()}
    bolt11 = answer.json()["payment"]["bolt11"]
    assert isinstance(bolt11["fee_total_sat"], str)
    return {"invoice": bolt11["invoice"], "fee": int(bolt11["fee_total_sat"])}


def btcpay_reads(answer: Any) -> dict[str, Any]:
    """In a browser: by `response.ok`, then by the code."""
    body = answer.json()
    if not 200 <= answer.status_code < 300:
        error = body["error"]
        if error["code"] in {-32602, 1, 100, 101}:
            return {"shown": f"{error['data'].get('property')}: {error['data']['message']}"}
        return {"shown": error["message"]}
    return {"invoice": body["payment"]["bolt11"]["invoice"], "id": body["order_id"], "state": body["order_state"]}


CLIENTS: dict[str, tuple[dict[str, Any], Callable[[HttpResponse], dict[str, Any]]]] = {
    "ZEUS": (ZEUS, zeus_reads),
    "Alby Hub": (ALBY_HUB, hub_reads),
    "BTCPay": (BTCPAY, btcpay_reads),
}


@pytest.fixture(autouse=True)
def shop(db: None, node: FakeNode, snapshot: NodeSnapshot) -> None:
    """Leases as long as these wallets ask for."""
    Service.objects.update(max_expiry_blocks=52560)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_it_orders_a_channel_and_reads_the_invoice(root: str, client: str) -> None:
    body, reads = CLIENTS[client]
    wallet = Wallet(root)
    answer = wallet.post("/create_order", body)
    read = reads(answer)
    assert read["invoice"].startswith("lnbcrt"), answer.said
    assert reads(wallet.get_order(answer.said["order_id"])) == read


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lsp_balance_sat": "99"}, "lsp_balance_sat must be at least 100000."),
        ({"channel_expiry_blocks": 60_000}, "channel_expiry_blocks must be at most 52560."),
        ({"public_key": "x"}, "The node's key must be 66 hex digits"),
    ],
)
def test_it_shows_the_person_why_it_is_refused(root: str, client: str, change: dict[str, Any], says: str) -> None:
    body, reads = CLIENTS[client]
    shown = reads(Wallet(root).post("/create_order", {**body, **change}))["shown"]
    assert says in shown


def test_zeus_finds_the_options_flat_or_nested_and_our_key() -> None:
    said = Wallet().get_info().said
    options = said.get("options") or said
    assert options["max_channel_balance_sat"] == said["max_channel_balance_sat"]
    assert said["uris"][0].split("@")[0]


def test_the_hub_finds_an_ipv4_address_and_sends_the_least_that_we_ask_for() -> None:
    said = Wallet().get_info().said
    first = next(uri for uri in said["uris"] if ".onion" not in uri)
    assert re.fullmatch(r"[0-9a-f]{66}@\d+\.\d+\.\d+\.\d+:\d+", first)
    body = {
        **ALBY_HUB,
        "required_channel_confirmations": max(0, said["min_required_channel_confirmations"]),
        "funding_confirms_within_blocks": said["min_funding_confirms_within_blocks"],
        "channel_expiry_blocks": said["max_channel_expiry_blocks"],
    }
    read = hub_reads(Wallet().post("/create_order", body))
    assert f"lnbcrt{read['fee']}" in read["invoice"]


def test_btcpay_never_sends_a_refund_address_and_is_shown_no_address_of_ours() -> None:
    assert "refund_onchain_address" not in BTCPAY
    assert "onchain" not in Wallet().post("/create_order", BTCPAY).said["payment"]


def test_btcpay_polls_until_the_order_is_completed_or_failed() -> None:
    said = Wallet().post("/create_order", BTCPAY).said
    assert btcpay_reads(Wallet().get_order(said["order_id"]))["state"] == "CREATED"
    assert said["channel"] is None  # not null means funded to it
