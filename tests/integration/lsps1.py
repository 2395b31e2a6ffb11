"""LSPS1 as a wallet speaks it over REST."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from tests.factories import pubkey
from tests.fakes import regtest_address
from tests.integration.conftest import Api

#: Both roots, and that of the channel-request API, where an order of any door is read too.
ROOTS = ["/api/v1", "/api/lsps1/v1"]
REFUND = regtest_address(77)
ORDER: dict[str, Any] = {
    "lsp_balance_sat": "1000000",
    "client_balance_sat": "50000",
    "required_channel_confirmations": 1,
    "funding_confirms_within_blocks": 6,
    "channel_expiry_blocks": 6048,
    "token": "",
    "refund_onchain_address": REFUND,
    "announce_channel": False,
    "public_key": pubkey(1),
}
INVALID, MISMATCH, NOT_FOUND, TOKEN, REJECTED, NOT_NOW = -32602, 100, 101, 102, 1, -32000


class Wallet(Api):
    """A wallet at one of the roots."""

    def __init__(self, mount: str = ROOTS[0]) -> None:
        super().__init__(mount)

    def get_info(self, **query: Any) -> HttpResponse:
        return self.get("/get_info", query)

    def create_order(self, headers: dict[str, str] | None = None, **changes: Any) -> HttpResponse:
        """`...` leaves a parameter out."""
        body = {**ORDER, **changes}
        return self.post("/create_order", {k: v for k, v in body.items() if v is not ...}, **headers or {})

    def get_order(self, order_id: Any) -> HttpResponse:
        return self.get("/get_order", {"order_id": str(order_id)})


def refused(answer: Any) -> tuple[int, str | None]:
    """(code, what it names) of an answer that must be a refusal as every client can read it."""
    assert answer.status_code >= 400, answer.said
    assert set(answer.said) == {"error", "message"} and set(answer.said["error"]) == {"code", "message", "data"}
    error = answer.said["error"]
    assert answer.said["message"] == error["data"]["message"] != ""
    if error["code"] == INVALID:
        assert isinstance(error["data"]["unrecognized"], list)
    return error["code"], error["data"].get("property")
