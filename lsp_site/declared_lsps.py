"""What can be configured of the doors by which wallets buy that speak LSPS1."""

from __future__ import annotations

import re

from lsp_site import parsers as p
from lsp_site.places import items
from lsp_site.variable import Group, Variable

V = Variable

_TOKEN = re.compile(r"[!-+\--~]{1,200}", re.ASCII)


def tokens(value: str) -> tuple[str, ...]:
    """Patterns of tokens; none of them where the value is `none`. Raises: ValueError."""
    if value.lower() == "none":
        return ()
    if not all(_TOKEN.fullmatch(part) for part in items(value)):
        raise ValueError("must be a comma list of tokens, each of at most 200 visible ASCII characters, or none")
    return items(value)


LSPS = Group(
    "Doors for wallets (LSPS1)",
    (
        V(
            "WALLET_TOKENS",
            tokens,
            "AlbyHub/*,btcpay-lsp-plugin",
            "Comma list of tokens by which wallets say who they are; `*` is any text, `none` is none. They bring "
            "nothing and refuse nobody; any other token that is not known is refused.",
        ),
        V(
            "LSPS1_ALIASES",
            p.boolean,
            "on",
            "LSPS1's answers carry the names of earlier drafts too, which shipped wallets read. Off: those of bLIP-51 "
            "alone.",
        ),
    ),
)
