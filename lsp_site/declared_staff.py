"""What can be configured of how staff come in, and what their pages lead to."""

from __future__ import annotations

from lsp_site import parsers as p
from lsp_site import places
from lsp_site.variable import Group, Variable

V = Variable

STAFF = Group(
    "Staff",
    (
        V(
            "LOGIN_RATE",
            p.rate,
            "20/hour",
            "Guesses at passwords of staff, for each client address; five times as many for each account.",
        ),
        V(
            "BLOCK_EXPLORER_URL",
            places.explorer("txid"),
            None,
            "The page of a transaction, such as `https://mempool.example/tx/{txid}`: the admin links to it. The server "
            "never fetches it; who follows the link tells its owner which transaction is looked at.",
            "no links",
        ),
        V(
            "NODE_EXPLORER_URL",
            places.explorer("pubkey"),
            None,
            "The page of a node, such as `https://amboss.example/node/{pubkey}`. The same.",
            "no links",
        ),
        V(
            "STAFF_MFA",
            p.one_of("required", "optional", "off"),
            None,
            "Whether staff show a code besides their password: `required`: who has none enrols at the next login, "
            "before anything else; `optional`: who has enrolled; `off`: nobody is asked, also who has enrolled.",
            "`required` on mainnet, `optional` elsewhere",
        ),
        V("STAFF_SESSION_SECONDS", p.seconds(600), "43200", "So long after a login staff log in again."),
        V("STAFF_IDLE_SECONDS", p.seconds(60), "3600", "The same after the last request of a browser."),
    ),
)
