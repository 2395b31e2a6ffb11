"""Each check by itself: what is fine, what is not, and that it says how to mend it."""

from __future__ import annotations

from uuid import UUID

import pytest

from lightning.errors import NodeUnavailable
from watch.doctor import Health, chain, machine, node, records
from watch.doctor.finding import Finding

OK, WARNING, FAILURE = Health.OK, Health.WARNING, Health.FAILURE
MISSING = "/invoicesrpc.Invoices/SettleInvoice"

CASES = [
    (records.database("18.1 (Debian)"), OK),
    (records.unreachable_database("refused"), FAILURE),
    (records.migrations([]), OK),
    (records.migrations(["orders.0003_more"]), FAILURE),
    (records.queue(0, 0), OK),
    (records.queue(900, 120), OK),
    (records.queue(3, 121), WARNING),
    (records.queue(1, 901), FAILURE),
    (records.worker(180, 180), OK),
    (records.worker(181, 180), FAILURE),
    (records.worker(None, 180), FAILURE),
    (records.streams(180, 180), OK),
    (records.openings(180, 180), OK),
    (records.openings(181, 180), FAILURE),
    (records.openings(None, 180), FAILURE),
    (records.streams(180, 180, "node=up invoices=0 events=proven"), OK),
    (records.streams(180, 180, "node=up invoices=9 events=missing"), WARNING),
    (records.streams(181, 180), WARNING),
    (records.streams(None, 180), WARNING),
    (records.node_seen(10, True, 180), OK),
    (records.node_seen(10, False, 180), FAILURE),
    (records.node_seen(181, True, 180), FAILURE),
    (records.node_seen(None, False, 180), FAILURE),
    (records.offer(1), OK),
    (records.offer(0), WARNING),
    (records.switches([]), OK),
    (records.switches([("sales", "command:alice", "upgrade")]), WARNING),
    (records.flagged([]), OK),
    (records.flagged([(UUID(int=1), "coins short")]), WARNING),
    (records.alerts(True, 0, 0), OK),
    (records.alerts(True, 2, 180), OK),
    (records.alerts(True, 2, 181), WARNING),
    (records.alerts(False, 0, 0), WARNING),
    (machine.disk(2**30, "/home"), OK),
    (machine.disk(2**30 - 1, "/home"), WARNING),
    (machine.disk(100 * 2**20, "/home"), FAILURE),
    (machine.clock(-5), OK),
    (machine.clock(6), WARNING),
    (machine.clock(-61), FAILURE),
    (machine.debug(False, "https://lsp.example"), OK),
    (machine.debug(True, "http://127.0.0.1:8000"), WARNING),
    (machine.debug(True, "https://lsp.example"), FAILURE),
    (machine.public_url("https://lsp.example"), OK),
    (machine.public_url("http://abc.onion"), OK),
    (machine.public_url("http://localhost:8000"), WARNING),
    (machine.public_url("http://[::1]:8000"), WARNING),
    (machine.public_url("http://lsp.example"), FAILURE),
    (chain.not_set(), OK),
    (chain.unreachable("no answer in time"), WARNING),
    (chain.elsewhere(), FAILURE),
    (chain.follows(800, 802), OK),
    (chain.follows(803, 800), WARNING),
    (node.not_configured(), FAILURE),
    (node.node("alice", "02" * 33), OK),
    (node.version("0.21.8-beta commit=v0.21.8-beta"), OK),
    (node.version("0.21.7-beta"), WARNING),
    (node.version("0.21.0-beta"), WARNING),
    (node.version("0.20.3-beta"), FAILURE),
    (node.version(""), FAILURE),
    (node.chain(True, 800), OK),
    (node.chain(False, 800), FAILURE),
    (node.network("mainnet", "mainnet"), OK),
    (node.network("testnet", "mainnet"), FAILURE),
    (node.addresses(["02@host:9735"], "02"), OK),
    (node.addresses(["02@host:9735", "03@host:9735"], "02"), FAILURE),
    (node.addresses([], "02"), FAILURE),
    (node.macaroon([], [], [], {}), OK),
    (node.macaroon([], [], ["/lnrpc.Lightning/SendCoins"], {}), WARNING),
    (node.macaroon([MISSING], [], [], {}), FAILURE),
    (node.macaroon([], [MISSING], [], {}), FAILURE),
    (node.macaroon([], [], [], {"on-chain payments": [MISSING]}), WARNING),
    (node.onchain(True, "", 100, 100), OK),
    (node.onchain(False, "", 0, 0), OK),
    (node.onchain(True, MISSING, 0, 0), WARNING),
    (node.onchain(False, "", 100, 99), FAILURE),
    (node.uncheckable_macaroon([]), WARNING),
    (node.uncheckable_macaroon(["ListPeers"]), FAILURE),
    (node.features([], 16_777_215), OK),
    (node.features([19], 16_777_216), OK),
    (node.features([18], 16_777_216), OK),
    (node.features([17], 16_777_216), FAILURE),
    (node.zero_conf(frozenset({46, 51})), OK),
    (node.zero_conf(frozenset({47})), OK),
    (node.coins([200_000] * 3, 10_000, 100_000), OK),
    (node.coins([600_000, 600_000], 10_000, 100_000), WARNING),
    (node.coins([40_000] * 3, 20_000, 100_000), WARNING),
    (node.coins([], 0, 0), WARNING),
    (node.coin_sizes(16_000_000, 16_000_000, 100_000_000), OK),
    (node.coin_sizes(1_400_000, 16_000_000, 100_000_000), WARNING),
    (node.coin_sizes(950_000, 16_000_000, 1_000_000), OK),
    (node.coin_sizes(0, 0, 0), OK),
    (node.fee_budgets(3, 0), OK),
    (node.fee_budgets(3, 1), WARNING),
    (node.nested_coins([]), OK),
    (node.nested_coins([40_000, 2_000]), WARNING),
    (node.reserve(10_000, 10_000), OK),
    (node.reserve(9_999, 10_000), FAILURE),
    (node.block_time(7200, "mainnet"), OK),
    (node.block_time(7201, "regtest"), FAILURE),
    (node.block_time(-7201, "mainnet"), WARNING),
    (node.block_time(-7201, "regtest"), OK),
    (node.inbound_slots(), OK),
]


@pytest.mark.parametrize(("finding", "health"), CASES, ids=lambda value: getattr(value, "seen", str(value)))
def test_a_check_tells_fine_from_not_and_how_to_mend_it(finding: Finding, health: Health) -> None:
    assert finding.health is health
    assert finding.seen
    assert finding.mend or health is OK


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("NODE_NOT_READY", "wallet"),
        ("NETWORK_MISMATCH", "network"),
        ("PERMISSION_DENIED", "macaroon"),
        ("MACAROON_UNREADABLE", "macaroon"),
        ("CERTIFICATE_UNREADABLE", "node"),
        ("", "node"),
    ],
)
def test_a_node_that_does_not_answer_fails_the_check_that_its_reason_belongs_to(reason: str, name: str) -> None:
    finding = node.unreadable(NodeUnavailable("what it said", reason=reason))
    assert (finding.name, finding.health, finding.seen) == (name, FAILURE, "what it said")


def test_a_version_with_faults_is_told_each_of_them_and_what_to_do() -> None:
    mend = node.version("0.21.3-beta commit=v0.21.3-beta").mend.splitlines()
    assert [line.partition(" ")[2].partition(" ")[0] for line in mend] == ["0.21.4", "0.21.8"]
    assert "just in time" in mend[0] and "GODEBUG=multipathtcp=0" in mend[1]


def test_a_version_that_is_too_old_is_told_only_that() -> None:
    assert node.version("0.20.3-beta").mend == "Upgrade LND to 0.21.0 or newer."


def test_a_long_list_of_rights_is_cut() -> None:
    seen = node.macaroon([f"/lnrpc.Lightning/Method{n}" for n in range(20)], [], [], {}).seen
    assert seen.endswith("and 12 more")


def test_a_pause_is_told_with_who_and_why() -> None:
    assert records.switches([("sales", "staff:alice", "an upgrade")]).seen == "sales paused by staff:alice: an upgrade"
