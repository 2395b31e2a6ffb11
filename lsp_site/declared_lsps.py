"""What can be configured of the doors by which wallets buy that speak LSPS1 and LSPS2."""

from __future__ import annotations

from lsp_site import parsers as p
from lsp_site.variable import Group, Variable

V = Variable

LSPS = Group(
    "Doors for wallets (LSPS1, LSPS2, LSPS5)",
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
        V(
            "LSPS2_ENABLED",
            p.boolean,
            "off",
            "Wallets whose node is connected to ours buy a channel that opens while their first payment is on its way "
            "(LSPS2), of the services that sell it, where the node can do that.",
        ),
        V(
            "LSPS2_VALID_SECONDS",
            p.seconds(600),
            "86400",
            "So long what we ask for such a channel holds, and so long its payment may begin.",
        ),
        V(
            "LSPS2_ON_OLD_LND",
            p.boolean,
            "off",
            "Such channels are sold with an LND before 0.21.4 too, which may ask once more about a payment that was "
            "passed on, and fail to take one whose channel was closed by force.",
        ),
        V(
            "LSPS2_CLTV_BLOCKS",
            p.integer(60, 1000),
            "144",
            "So many blocks those leave us who pay over such a channel: more than the node's own "
            "`bitcoin.timelockdelta`, which is 80 unless lnd.conf says otherwise.",
        ),
        V(
            "LSPS2_HOLD_SECONDS",
            p.seconds(10),
            "90",
            "So long the parts of a payment wait for each other, and for the wallet's node, before they fail.",
        ),
        V(
            "LSPS2_PURCHASES_PER_PEER",
            p.integer(1, 10**4),
            "50",
            "So many of them a peer may have bought that no payment has come for, and that still hold.",
        ),
        V(
            "LSPS2_PURCHASES",
            p.integer(1, 10**6),
            "20000",
            "The same of all peers together; then the oldest gives way of whoever has most.",
        ),
        V(
            "LSPS2_EXPOSURE_SAT",
            p.integer(0, 10**12),
            "20000000",
            "All channels together that open just in time, and whose fee we do not have yet, are no larger.",
        ),
        V(
            "LSPS2_PEER_EXPOSURE_SAT",
            p.integer(0, 10**12),
            "10000000",
            "The same of one peer.",
        ),
        V(
            "LSPS2_ABORTS_PER_PEER",
            p.integer(1, 10**4),
            "3",
            "With so many numbers in a day a peer may let a channel open for a payment that it does not take then, "
            "besides the first, which anybody may pay for in vain. After each it waits longer for the next, after the "
            "last until the day is over.",
        ),
        V(
            "LSPS5_ENABLED",
            p.boolean,
            "off",
            "Wallets register an address of theirs (LSPS5) at which we tell them that they are wanted while they are "
            "away. We send HTTPS requests to where strangers say, and the macaroon has to allow `SignMessage`.",
        ),
        V(
            "LSPS5_WEBHOOKS_PER_PEER",
            p.integer(1, 100),
            "5",
            "So many of them a peer may have.",
        ),
        V(
            "LSPS5_WEBHOOKS",
            p.integer(1, 10**6),
            "20000",
            "The same of all peers together.",
        ),
        V(
            "LSPS5_RATE",
            p.rate,
            "20/h",
            "So often a peer may register one.",
        ),
        V(
            "LSPS5_COOLDOWN_SECONDS",
            p.seconds(60),
            "120",
            "The same is not told again within so long, unless the wallet was there meanwhile.",
        ),
        V(
            "LSPS5_KEPT_SECONDS",
            p.seconds(604_800),
            "1209600",
            "What is registered is kept so long after the wallet's last channel, or after it was registered; a week at "
            "least.",
        ),
    ),
)
