"""How ids are written. Of an order's the beginning: who knows all of it may claim the order, so it stands whole in no
log and no alert.
"""

from __future__ import annotations

import re
from typing import Any, Final

SHORT_LENGTH: Final = 8

_TAIL: Final = r"{h}{{4}}{d}4{h}{{3}}{d}[89ab]{h}{{3}}{d}{h}{{12}}"
#: As anybody writes it: with its hyphens, or with fewer, where no longer number (a hash, a key) has it in its midst.
#: What a browser has written for a sign before it (`%3D`) ends in a digit that is none.
_ORDER_ID: Final = re.compile(
    r"([0-9a-f]{8})-" + _TAIL.format(h="[0-9a-f]", d="-")
    + r"|(?:(?<![0-9a-f])|(?<=%[0-9a-f]{2}))([0-9a-f]{8})-?" + _TAIL.format(h="[0-9a-f]", d="-?") + r"(?![0-9a-f])",
    re.ASCII | re.IGNORECASE,
)  # fmt: skip


def channel_name(number: int) -> str:
    """A short channel id as the field writes it, BLOCKxTXxOUTPUT; "" for none."""
    return f"{number >> 40}x{number >> 16 & 0xFFFFFF}x{number & 0xFFFF}" if number else ""


def short(order_id: Any) -> str:
    """The beginning of an id, enough to know the order by."""
    return str(order_id)[:SHORT_LENGTH]


def shortened(text: str) -> str:
    """`text` with every order's id in it cut to its beginning."""
    return _ORDER_ID.sub(lambda found: found[1] or found[2], text)
