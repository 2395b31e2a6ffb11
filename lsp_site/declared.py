"""The one table of what can be configured. `docs/configuration.md` is written from it."""

from __future__ import annotations

from lsp_site import parsers as p
from lsp_site import places
from lsp_site.declared_lsps import LSPS
from lsp_site.declared_staff import STAFF
from lsp_site.variable import Group, Variable

V = Variable

NODE = Group(
    "The node",
    (
        V("LND_GRPC", places.host_and_port, None, "`host:port` of LND's gRPC interface.", "a simulated node"),
        V("LND_MACAROON", p.macaroon, None, "The macaroon: a path, or hex.", "a simulated node"),
        V("LND_NETWORK", p.network, None, "`mainnet`, `testnet`, `signet` or `regtest`.", "a simulated node"),
        V("LND_TLS_CERT", p.certificate, None, "The path of LND's `tls.cert`.", "the system's authorities"),
        V(
            "NODE_URIS",
            places.node_uris,
            None,
            "Comma list of `key@host:port`, all of one key: where buyers reach the node.",
            "as LND says",
        ),
        V(
            "DIAL_PRIVATE_ADDRESSES",
            p.boolean,
            None,
            "The node dials whatever address a buyer names. Off: only those of the internet, looked up by the server "
            "first, and onion services.",
            "off on mainnet, on elsewhere",
        ),
        V(
            "CHAIN_RPC",
            p.chain_rpc,
            None,
            "`http(s)://user:password@host:port` of Bitcoin Core's or btcd's RPC: a secret. With it a deposit reserves "
            "coins as soon as it is seen with a fee that will confirm it. It counts no earlier, but see "
            "`ZERO_CONF_MAX_SAT`.",
            "a deposit reserves coins once it is in a block",
        ),
        V(
            "CHAIN_RPC_CERT",
            p.certificate,
            None,
            "The path of the certificate that CHAIN_RPC shows, as btcd's `rpc.cert`.",
            "the system's authorities",
        ),
        V("LIGHTNING_NODE", p.dotted_path, "lightning.node.LndNode", "The class that talks to the node."),
    ),
)

SERVER = Group(
    "The server",
    (
        V("LISTEN", places.listen, "127.0.0.1:8000", "`host:port` where the server listens."),
        V(
            "PUBLIC_URL",
            places.url,
            None,
            "Where buyers reach the server; LNURL callbacks are built from it. On mainnet it must be https or .onion.",
            "`http://LISTEN`; on mainnet it must be set",
        ),
        V(
            "DATABASE_URL",
            p.postgres_url,
            None,
            "`postgres://user:password@host:port/name`. Direct or pooled by session, never by transaction.",
            "an embedded PostgreSQL in `LSP_HOME`; refused on mainnet",
        ),
        V("LSP_HOME", p.folder, None, "The folder of what the server keeps by itself.", "`.lsp` beside `manage.py`"),
        V(
            "SECRET_KEY",
            p.key,
            None,
            "32 bytes in hex: signs sessions and queued tasks.",
            "made and kept in `LSP_HOME/secret_key`",
        ),
        V(
            "PREIMAGE_KEY",
            p.key,
            None,
            "32 bytes in hex: the preimages of all hold invoices are derived from it. Keep a copy outside the "
            "database: without it held payments cannot be settled.",
            "made and kept in `LSP_HOME/preimage_key`",
        ),
        V(
            "ALLOWED_HOSTS",
            places.hosts,
            None,
            "Comma list of host names we answer to, this machine's own added.",
            "those of PUBLIC_URL, LISTEN",
        ),
        V("CSRF_TRUSTED_ORIGINS", places.origins, None, "Comma list of origins that may log in.", "PUBLIC_URL's"),
        V(
            "TRUSTED_PROXIES",
            places.proxies,
            "0",
            "How many proxies stand before the server, or a comma list of their addresses: only from those is "
            "`X-Forwarded-For` believed.",
        ),
        V(
            "PAUSE_IF_BEHIND",
            p.boolean,
            "on",
            "At its start the server pauses sales and openings when the node has channels or held payments of orders "
            "that this database does not know: it was put back. `manage.py recover` lists them.",
        ),
        V("V1_LEGACY_ERRORS", p.boolean, "on", "Errors carry the fields that clients of the first server read."),
        V(
            "ALERT_URL",
            p.alert_urls,
            None,
            "Who is told when something fails: one or more URLs as [Apprise](https://github.com/caronc/apprise) reads "
            "them (`mailto://…`, `json://…`, `ntfy://…`), between commas. They hold passwords: a secret.",
            "nobody is told",
        ),
        V(
            "METRICS_TOKEN",
            p.token,
            None,
            "22 characters or more, made by chance: who shows them (`Authorization: Bearer …`) reads `/metrics`. A "
            "secret.",
            "there is no `/metrics`",
        ),
        V("DEBUG", p.boolean, "off", "Django's debug pages. Refused on mainnet."),
        V("WORKERS", p.integer(1, 64), "4", "Processes of the queue. None of them waits for a peer."),
        V(
            "PARALLEL_OPENINGS",
            p.integer(1, 63),
            "32",
            "Channels that are negotiated at a time, each with a connection to the database while it is: peers may "
            "stall. A quarter is kept for first attempts, and what one client may hold is bounded.",
        ),
        V("WEB_PROCESSES", p.integer(1, 64), "2", "Processes of the API."),
        V(
            "STREAM_THREADS",
            p.integer(1, 64),
            "8",
            "Orders that the streams process looks at at a time, besides those that wait for a peer. A quarter is kept "
            "for who has just paid or claimed.",
        ),
    ),
)

ORDERS = Group(
    "Orders and payments",
    (
        V(
            "ORDER_LIFETIME_SECONDS",
            p.seconds(60),
            "900",
            "How long an order may stay unpaid: so long the chain fees in its price hold.",
        ),
        V(
            "LATE_PRICE_SLACK_PERCENT",
            p.integer(0, 10**4),
            "1",
            "What is paid on chain only after that time is taken if the order would cost at most so much more in fees "
            "today. Else it goes back.",
        ),
        V(
            "DEEP_LATE_SLACK_PERCENT",
            p.integer(0, 10**4),
            "50",
            "The same of what was paid within that time, and is deep enough only after it.",
        ),
        V("CLAIM_WINDOW_SECONDS", p.seconds(60), "21600", "How long a held Lightning payment may stay unclaimed."),
        V("CLAIM_WINDOW_ONCHAIN_SECONDS", p.seconds(60), "2592000", "How long an on-chain payment may stay unclaimed."),
        V("OPEN_WINDOW_SECONDS", p.seconds(120), "43200", "How long we try to open, from the claim."),
        V(
            "GIVE_UP_GRACE_SECONDS",
            p.seconds(),
            "1800",
            "How long the buyer may claim anew, and staff retry, before held money goes back.",
        ),
        V(
            "GIVE_UP_GRACE_ONCHAIN_SECONDS",
            p.seconds(),
            "86400",
            "The same of what was paid on chain: after it the money goes back, where an address is known.",
        ),
        V(
            "REFUND_BUMP_AFTER_SECONDS",
            p.seconds(60),
            "21600",
            "A refund that is unmined for so long is sent anew with a higher fee, which it pays itself.",
        ),
        V(
            "BOOKS_CHECK_SECONDS",
            p.seconds(60),
            "86400",
            "So often the books are held against our rows and the node's wallet; hourly after they did not add up.",
        ),
        V(
            "CAPITAL_COST_PPM",
            p.integer(0, 1_000_000),
            "0",
            "What the coins in sold channels cost you a year, in millionths: 45000 is 4.5 %. The figures of what you "
            "earn take it off; nothing else does.",
        ),
        V(
            "FIGURES_KEPT_DAYS",
            p.integer(2, 36_500),
            "60",
            "Forwards, samples of the stock and signs of life are kept one by one for so long; what they come to by "
            "day stays.",
        ),
        V(
            "ALERTS_KEPT_DAYS",
            p.integer(1, 36_500),
            "365",
            "Alerts that are over, mutes, checks of the books and tasks that failed are kept for so long.",
        ),
        V(
            "SMALL_SURPLUS",
            p.one_of("push", "keep"),
            "push",
            "What was paid too much and is not worth sending back on chain: `push` adds it to the channel, on the "
            "buyer's side, within the limits of the service; `keep` books it as kept for the buyer.",
        ),
        V("HOLD_CLTV_BLOCKS", p.integer(24, 2016), "288", "Final CLTV delta of a hold invoice: covers all windows."),
        V(
            "PUBLISH_MARGIN_BLOCKS",
            p.integer(24, 1000),
            "72",
            "A held payment must have so many blocks to its nearest HTLC expiry when we publish.",
        ),
        V("SPARE_BLOCKS", p.integer(0, 144), "6", "Blocks beyond that margin before the point of no return."),
        V(
            "ONCHAIN_CONFIRMATIONS",
            p.integer(1, 100),
            None,
            "Confirmations at which an on-chain payment counts.",
            "1 on regtest, 3 elsewhere",
        ),
        V(
            "ZERO_CONF_MAX_SAT",
            p.integer(0, 10**9),
            "0",
            "The largest order that is taken for paid while its deposits are in no block; 0: none is. Who pays so can "
            "take it back. Needs `CHAIN_RPC`.",
        ),
        V("ZERO_CONF_NODE_MAX_SAT", p.integer(0, 10**9), "200000", "The most of that for one node of a buyer's."),
        V(
            "ZERO_CONF_TOTAL_MAX_SAT",
            p.integer(0, 10**9),
            "500000",
            "The most of that for all together, from when it was taken until it is deep; what was lost counts until a "
            "person has seen it.",
        ),
        V(
            "ZERO_CONF_MAX_SATVBYTE",
            p.integer(1, 10**5),
            "50",
            "Nothing is taken so while the node's estimate is above this.",
        ),
        V(
            "ONCHAIN_ENABLED",
            p.boolean,
            "on",
            "New orders can be paid on chain, where their service takes that and the macaroon has the rights. Off: "
            "what was paid on chain before is taken, delivered and sent back all the same.",
        ),
        V("ONCHAIN_RESERVE_SAT", p.integer(0, 21 * 10**14), "0", "What of the node's wallet is never sold."),
        V(
            "REFUND_RESERVE_SAT",
            p.integer(0, 21 * 10**14),
            "0",
            "What is kept out of what is sold so that money can go back on chain: so much, or what refunds and "
            "deposits that bought nothing could need just then, whichever is more.",
        ),
        V(
            "MOST_NODE_SAT",
            p.integer(0, 21 * 10**14),
            "0",
            "The most that one node may have of us, in channels that are there or being opened, together; 0: no limit. "
            "What one channel may have is said by its service.",
        ),
        V(
            "RATE_SOURCE",
            p.dotted_path,
            None,
            "A function of yours that returns an `orders.rates.Rate`: what a bitcoin costs in your currency, and since "
            "when that is known. Limits in a currency need it.",
            "there are no limits in a currency",
        ),
        V(
            "RATE_MAX_AGE_SECONDS",
            p.seconds(),
            "3600",
            "A rate older than this limits nothing: nothing that it limits is sold until there is a newer one.",
        ),
        V("MOST_CHANNEL_IN_CURRENCY", p.integer(0, 10**12), "0", "The most for one channel in it; 0: no limit."),
        V("MOST_NODE_IN_CURRENCY", p.integer(0, 10**12), "0", "The most for one node in it; 0: no limit."),
        V(
            "UNPAID_SHARE_PERCENT",
            p.integer(1, 100),
            "50",
            "What one client address may keep waiting for an hour, unpaid or unclaimed, of all that we can sell; or "
            "more of it for a shorter time.",
        ),
        V("UNPAID_ORDERS_PER_CLIENT", p.integer(1, 10**6), "20", "Unpaid orders of one client address."),
        V(
            "MOST_UNPAID_ORDERS",
            p.integer(10, 10**6),
            "5000",
            "Unpaid orders in all. Above it older ones end, those of who has the most first.",
        ),
        V(
            "CLAIM_PATIENCE_SECONDS",
            p.seconds(30),
            "300",
            "So long after its payment an order whose node was not reached yet does not give way to others like it.",
        ),
        V(
            "DEPOSIT_PATIENCE_SECONDS",
            p.seconds(),
            "86400",
            "How long an unpaid order waits, after its end, for a deposit that came in time and is in no block.",
        ),
        V("BUY_RATE", p.rate, "60/min", "Orders, for each client address."),
        V("READ_RATE", p.rate, "600/min", "Reads, for each client address."),
        V("CLAIM_RATE", p.rate, "60/min", "Claims, for each client address."),
        V("IDEMPOTENCY_SECONDS", p.seconds(), "86400", "How long a buyer's idempotency key is remembered."),
    ),
)

OPENING = Group(
    "Opening channels",
    (
        V("FUNDING_MIN_CONFS", p.integer(1, 100), "6", "Confirmations of the coins that fund a channel."),
        V("FUNDING_CONF_TARGET", p.integer(2, 1008), "3", "Blocks in which a funding should confirm: sets its fee."),
        V("MAX_FUNDING_FEE_SAT", p.integer(200, 10**8), "100000", "The most that one funding may cost in fees."),
        V(
            "FEE_BUDGET_PERCENT",
            p.integer(200, 10**6),
            "400",
            "What an order's transactions may cost in fees together, of what it paid for its opening; never more than "
            "all that it paid but what is pushed. Above it the order waits for lower fees.",
        ),
        V("FEE_BUDGET_FLOOR_SAT", p.integer(0, 10**8), "5000", "The least of that, where the order paid so much."),
        V("FUNDING_LEASE_SECONDS", p.seconds(600), "86400", "How long the coins of a funding are leased at a time."),
        V("FRESH_ATTEMPT_SECONDS", p.seconds(120), "900", "A half-signed attempt older than this is cancelled."),
        V("PUBLISH_PATIENCE_SECONDS", p.seconds(), "3600", "A funding refused for so long is given up by a conflict."),
        V("FINAL_DEPTH_BLOCKS", p.integer(1, 100), "6", "The depth at which a transaction is final."),
        V("BUMP_AFTER_SECONDS", p.seconds(), "7200", "A transaction unconfirmed for so long gets a higher fee."),
        V(
            "EARLY_CLOSE_GRACE_SECONDS",
            p.seconds(0),
            "604800",
            "A channel that we close within this time after it was usable is a case for staff: a refund is proposed.",
        ),
        V(
            "EARLY_CLOSE_KEEPS_CHAIN_FEES",
            p.boolean,
            "on",
            "What is proposed to go back for a channel that its own peer closed before it was usable is less by what "
            "the chain has cost us.",
        ),
        V(
            "PREFLIGHT_DRY_RUN",
            p.boolean,
            "off",
            "A buyer's node that is connected is asked for the channel before it is paid, up to its answer, and told "
            "that it was nothing: once an hour for each channel. Not where the service does not look.",
        ),
        V("RETRY_FIRST_SECONDS", p.seconds(), "5", "The first pause after a failed attempt; it doubles."),
        V("RETRY_MAX_SECONDS", p.seconds(), "600", "The longest pause between attempts."),
        V("SNAPSHOT_MAX_AGE_SECONDS", p.seconds(), "90", "The node's figures older than this sell nothing."),
        V(
            "HEARTBEAT_STALE_SECONDS",
            p.seconds(100),
            "180",
            "A process, or a lane of one, that is silent for so long is restarted. The slowest report every minute.",
        ),
    ),
)

CLOSING = Group(
    "Closing channels",
    (
        V(
            "MOST_CLOSES_A_DAY",
            p.integer(0, 10**6),
            "10",
            "So many channels whose lease is over are closed by themselves in 24 hours at most, those that staff "
            "close counted in; 0: none.",
        ),
    ),
)

GROUPS = (NODE, SERVER, STAFF, LSPS, ORDERS, OPENING, CLOSING)
VARIABLES = {variable.name: variable for group in GROUPS for variable in group.variables}
NODE_REQUIRED = ("LND_GRPC", "LND_MACAROON", "LND_NETWORK")
