"""A notification as it is sent, and what of it is signed. Pure. Spec: bLIP-55, "Webhook Call"."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def body(method: str, timeout_height: int | None) -> bytes:
    """As clients write it who read it and sign what they have written: in this order, and without a space."""
    params: dict[str, Any] = {} if timeout_height is None else {"timeout": timeout_height}
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}, separators=(",", ":")).encode()


def timestamp(at: datetime) -> str:
    """YYYY-MM-DDThh:mm:ss.uuuZ."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def signed(at: str, sent: bytes) -> bytes:
    """What the node signs."""
    return f"LSPS5: DO NOT SIGN THIS MESSAGE MANUALLY: LSP: At {at} I notify ".encode() + sent
