"""LSPS2 as a wallet speaks it over Lightning; and a shop that sells by it."""

from __future__ import annotations

import json
from typing import Any, Final

from django.utils import timezone

from lsps.bolt8 import answering
from lsps.bolt8.codec import MOST_BYTES, Call
from orders.jit import ability
from orders.models import Heartbeat, NodeSnapshot, Service
from tests.factories import ServiceFactory, pubkey

PEER, OTHER = pubkey(1), pubkey(2)
INVALID, NO_METHOD, REJECTED, NOT_NOW = -32602, -32601, 1, -32000
TOKEN, NOT_PROMISED, TOO_SMALL, TOO_LARGE = 200, 201, 202, 203
FIELDS: Final = {
    "min_fee_msat", "proportional", "valid_until", "min_lifetime", "max_client_to_self_delay",
    "min_payment_size_msat", "max_payment_size_msat", "promise",
}  # fmt: skip


def open_shop(settings: Any, snapshot: NodeSnapshot, **changes: Any) -> Service:
    """It sells channels just in time, and somebody hears of payments."""
    settings.LSPS2_ENABLED = True
    NodeSnapshot.objects.filter(pk=snapshot.pk).update(takes_zero_conf=True)
    listen()
    Service.objects.all().delete()
    return ServiceFactory(sells_jit=True, **changes)


def listen() -> None:
    """Somebody hears of payments now."""
    Heartbeat.objects.update_or_create(name=ability.FORWARDING, defaults={"at": timezone.now()})


def ask(method: str, params: Any = None, *, peer: str = PEER, id: str = "a-1") -> dict[str, Any]:
    """What the peer is answered."""
    request = {"jsonrpc": "2.0", "id": id, "method": method, "params": {} if params is None else params}
    said = answering.begun(peer, json.dumps(request).encode())
    assert isinstance(said, bytes) and not isinstance(said, Call) and len(said) <= MOST_BYTES
    answer: dict[str, Any] = json.loads(said)
    assert answer["id"] == id and ("result" in answer) is not ("error" in answer)
    return answer


def menu(**asking: Any) -> list[dict[str, Any]]:
    """What is offered."""
    entries: list[dict[str, Any]] = ask("lsps2.get_info", **asking)["result"]["opening_fee_params_menu"]
    return entries


def buy(entry: dict[str, Any] | None = None, *, peer: str = PEER, id: str = "a-1", **changes: Any) -> dict[str, Any]:
    """The answer to who buys for the first entry of his menu, or for this one; `...` leaves a parameter out."""
    shown = menu(peer=peer)[0] if entry is None else entry
    params = {"opening_fee_params": shown, "payment_size_msat": "200000000", **changes}
    return ask("lsps2.buy", {k: v for k, v in params.items() if v is not ...}, peer=peer, id=id)


def code(answer: dict[str, Any]) -> int:
    """Of a refusal that has a sentence for people."""
    assert answer["error"]["data"]["message"]
    return int(answer["error"]["code"])
