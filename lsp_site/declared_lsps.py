"""What can be configured of the doors by which wallets buy that speak LSPS1."""

from __future__ import annotations

from lsp_site import parsers as p
from lsp_site.variable import Group, Variable

V = Variable

LSPS = Group(
    "Doors for wallets (LSPS1)",
    (
        V(
            "LSPS1_ALIASES",
            p.boolean,
            "on",
            "LSPS1's answers carry the names of earlier drafts too, which shipped wallets read. Off: those of bLIP-51 "
            "alone, and `warnings`.",
        ),
        V(
            "LSPS1_OVER_LIGHTNING",
            p.boolean,
            "on",
            "Peers buy by LSPS1 over Lightning itself (BOLT 8, bLIP-50), where the macaroon has the rights.",
        ),
        V(
            "LSPS1_ANNOUNCED",
            p.boolean,
            "on",
            "The node announces that (feature bit 729), and those addresses in `NODE_URIS` that it does not announce "
            "yet, where the macaroon has the right.",
        ),
    ),
)
