"""The doctor and the command: what they look at, and that one fault is one failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django_q.models import OrmQ

from lightning.credentials import required_methods
from lightning.errors import NodeUnavailable, NotFound
from lightning.types import NodeInfo, Outpoint, Utxo
from orders.causes import FlagKind
from orders.models import Alert, Heartbeat, NodeSnapshot, Service
from orders.reconcile import beat
from tests.bitcoind import BLOCK, WRITTEN_PASSWORD, Bitcoind, running
from tests.factories import FlagFactory, OrderFactory, SnapshotFactory, pubkey
from tests.fakes import FakeNode, regtest_address
from watch import doctor
from watch.doctor import Finding, Health, examination

pytestmark = pytest.mark.django_db


class WellNode(FakeNode):
    """Nothing is wrong with it. `allowed` is its macaroon."""

    def __init__(self) -> None:
        super().__init__()
        self.allowed = set(required_methods())
        self.unknown: set[str] = set()
        self.changes: dict[str, Any] = {}
        self.lnd_conf = {"requireinterceptor": "false", "bitcoin.timelockdelta": "80"}

    def configuration(self) -> dict[str, str]:
        self._called("configuration")
        return self.lnd_conf

    def info(self) -> NodeInfo:
        now = int(timezone.now().timestamp())
        well = {"version": "0.21.8-beta", "best_header_at": now, "network": "signet", "features": frozenset({729})}
        return replace(super().info(), **well | self.changes)

    def coins(self, *, min_confirmations: int) -> tuple[Utxo, ...]:
        self._called("coins")
        return tuple(Utxo(Outpoint("aa" * 32, n), regtest_address(1), self.spendable_sat // 4, 100) for n in range(4))

    def allows(self, method: str) -> bool:
        self._called("allows")
        if method in self.unknown:
            raise NotFound("no such method")
        return method in self.allowed

    def __getattr__(self, name: str) -> Callable[..., tuple[()]]:
        if name not in {"peers", "pending_channels", "closed_channels", "leases", "transactions", "block_hash"}:
            raise AttributeError(name)

        def read(*_: Any, **__: Any) -> tuple[()]:
            self._called(name)
            return ()

        return read


@pytest.fixture
def well(db: None, monkeypatch: pytest.MonkeyPatch, settings: Any) -> WellNode:
    """A server with which nothing is wrong, and its node."""
    node = WellNode()
    monkeypatch.setattr("lightning.connection.node", lambda: node)
    settings.LND_GRPC, settings.LND_NETWORK = "127.0.0.1:10009", "signet"
    settings.PUBLIC_URL, settings.ALERT_URL = "https://lsp.example", ("json://127.0.0.1:9/hush",)
    SnapshotFactory()
    beat("reconcile")
    beat("streams")
    beat("openings")
    return node


def found(node: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.thorough(node)}


def bad(node: Any) -> dict[str, Health]:
    return {name: finding.health for name, finding in found(node).items() if finding.health is not Health.OK}


def test_a_server_with_which_nothing_is_wrong_gets_no_warning(well: WellNode) -> None:
    assert bad(well) == {}
    assert len(found(well)) == len(doctor.thorough(well))  # no name twice
    assert {"database", "disk", "coins", "reserve", "macaroon", "inbound_slots"} < found(well).keys()


def test_whoever_only_tries_the_server_is_not_told_to_mend_what_only_a_real_shop_has_to(
    well: WellNode, settings: Any
) -> None:
    settings.PUBLIC_URL, settings.ALERT_URL = "http://127.0.0.1:8000", ()
    well.changes = {"version": "0.21.3-beta commit=", "network": "regtest"}
    well.allowed |= {"/lnrpc.Lightning/SendCoins"}
    settings.LND_NETWORK = "signet"
    assert {"alerts", "public_url", "version", "macaroon"} < bad(well).keys()
    settings.LND_NETWORK = "regtest"
    assert bad(well) == {}
    assert found(well)["version"].seen == "0.21.3-beta, well on regtest"
    well.allowed.discard("/invoicesrpc.Invoices/SettleInvoice")
    assert bad(well) == {"macaroon": Health.FAILURE}


def test_alerts_that_do_not_arrive_are_told_on_every_network(well: WellNode, settings: Any) -> None:
    settings.LND_NETWORK, well.changes = "regtest", {"network": "regtest"}
    Alert.objects.create(key="x", message="x", since=timezone.now() - timedelta(hours=1))
    assert bad(well) == {"alerts": Health.WARNING}


@pytest.mark.parametrize(
    ("changes", "name", "health"),
    [
        ({"version": "0.20.0-beta"}, "version", Health.FAILURE),
        ({"version": "0.21.7-beta commit=v0.21.7-beta"}, "version", Health.WARNING),
        ({"synced_to_chain": False}, "chain", Health.FAILURE),
        ({"network": "testnet"}, "network", Health.FAILURE),
        ({"uris": ()}, "addresses", Health.FAILURE),
        ({"best_header_at": 4_000_000_000}, "block_time", Health.FAILURE),
    ],
)
def test_one_fault_of_the_node_is_one_finding(
    well: WellNode, changes: dict[str, Any], name: str, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = replace(well.info(), **changes)
    monkeypatch.setattr(well, "info", lambda: info)
    assert bad(well) == {name: health}


def test_an_address_in_the_settings_is_enough(well: WellNode, settings: Any) -> None:
    well.changes, settings.NODE_URIS = {"uris": ()}, (f"{well.info().pubkey}@host:9735",)
    assert bad(well) == {}


def test_found_d8_an_address_of_another_node_is_a_failure(well: WellNode, settings: Any) -> None:
    settings.NODE_URIS = (f"{well.info().pubkey}@host:9735", f"{pubkey(7)}@host:9735")
    assert bad(well) == {"addresses": Health.FAILURE}
    assert pubkey(7) in found(well)["addresses"].seen and well.info().pubkey in found(well)["addresses"].mend


def test_a_large_channel_on_sale_needs_the_nodes_feature(well: WellNode) -> None:
    Service.objects.update(max_channel_sat=20_000_000)
    assert bad(well) == {"features": Health.FAILURE}
    well.changes = {"features": frozenset({19, 729})}
    assert bad(well) == {}


def test_a_right_that_is_missing_is_named(well: WellNode) -> None:
    well.allowed.discard("/invoicesrpc.Invoices/SettleInvoice")
    assert found(well)["macaroon"].seen == "does not allow SettleInvoice"
    assert bad(well) == {"macaroon": Health.FAILURE}


def test_a_right_that_only_a_feature_needs_leaves_that_off_and_is_no_failure(well: WellNode) -> None:
    well.allowed.discard("/lnrpc.Lightning/SubscribeTransactions")
    assert found(well)["macaroon"].seen == "on-chain payments off: does not allow SubscribeTransactions"
    assert found(well)["onchain"].seen == "not offered: the macaroon does not allow SubscribeTransactions"
    assert bad(well) == {"macaroon": Health.WARNING, "onchain": Health.WARNING}


def test_where_peers_cannot_be_answered_it_says_which_right_is_missing(well: WellNode, settings: Any) -> None:
    well.allowed.discard("/lnrpc.Lightning/SendCustomMessage")
    assert bad(well) == {"macaroon": Health.WARNING, "lsps1": Health.WARNING}
    assert "SendCustomMessage" in found(well)["lsps1"].seen
    settings.LSPS1_OVER_LIGHTNING = False  # nobody wants it
    assert bad(well) == {}


def test_what_is_not_announced_is_told_with_the_lines_of_lnds_configuration(well: WellNode, settings: Any) -> None:
    well.changes = {"features": frozenset()}
    assert bad(well) == {"lsps1": Health.WARNING}
    assert "protocol.custom-nodeann=729" in found(well)["lsps1"].mend
    settings.LSPS1_ANNOUNCED = False
    assert bad(well) == {}


def test_a_wallet_that_cannot_send_back_what_is_owed_fails(well: WellNode, settings: Any) -> None:
    settings.REFUND_RESERVE_SAT = well.spendable_sat + 1
    assert bad(well)["onchain"] == Health.FAILURE


def test_a_method_that_the_node_has_not_is_named(well: WellNode) -> None:
    well.unknown.add("/walletrpc.WalletKit/FundPsbt")
    assert found(well)["macaroon"].seen == "the node has no FundPsbt"


def test_an_admin_macaroon_is_warned_of(well: WellNode) -> None:
    well.allowed |= {"/lnrpc.Lightning/SendCoins", "/lnrpc.Lightning/BakeMacaroon"}
    assert bad(well) == {"macaroon": Health.WARNING}


def test_where_rights_cannot_be_asked_for_only_reads_are_tried(well: WellNode) -> None:
    well.allowed = set()
    assert bad(well) == dict.fromkeys(("macaroon", "onchain", "lsps1"), Health.WARNING)
    changing = {"add_hold_invoice", "cancel_invoice", "new_address", "connect", "open_channel"}
    assert not changing & set(well.calls)
    well.fails_at["leases"] = NodeUnavailable("permission denied", reason="PERMISSION_DENIED")
    assert found(well)["macaroon"].seen == "does not allow ListLeases"


def test_a_node_that_is_away_is_one_failure_and_hides_nothing_else(well: WellNode) -> None:
    well.fails = NodeUnavailable("connection refused")
    assert bad(well) == {"node": Health.FAILURE}


def test_a_node_that_goes_away_meanwhile_is_told(well: WellNode) -> None:
    well.fails_at["coins"] = NodeUnavailable("connection reset")
    assert bad(well) == {"examination": Health.FAILURE}


def test_a_reserve_that_is_spent_is_a_failure(well: WellNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(well, "required_reserve_sat", lambda **_: 200_000_000)
    assert bad(well) == {"reserve": Health.FAILURE, "coins": Health.WARNING}


def test_the_records_are_looked_at(well: WellNode) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Heartbeat.objects.update(at=long_ago)
    NodeSnapshot.objects.update(at=long_ago)
    OrmQ.objects.create(key="lsp", payload="x", lock=long_ago)
    OrmQ.objects.create(key="lsp", payload="x", lock=timezone.now() + timedelta(hours=1))  # being run
    OrderFactory(open=True, flagged=True)
    Service.objects.update(on_sale=False)
    assert bad(well) == {
        "worker": Health.FAILURE,
        "streams": Health.WARNING,
        "openings": Health.FAILURE,
        "node_seen": Health.FAILURE,
        "queue": Health.FAILURE,
        "flagged_orders": Health.WARNING,
        "offer": Health.WARNING,
    }
    assert found(well)["queue"].seen.startswith("1 waiting")


def test_the_orders_that_need_a_person_are_counted_and_their_reasons_named(well: WellNode) -> None:
    order = OrderFactory(open=True, flagged__kind=FlagKind.UNMINED)
    FlagFactory(order=order, kind=FlagKind.CHANNEL_INACTIVE)
    OrderFactory(open=True, flagged__kind=FlagKind.UNMINED)
    FlagFactory(order=order, lowered_at=timezone.now(), lowered_by="staff:ada")
    seen = found(well)["flagged_orders"].seen
    assert seen == "2 need a person: funding unmined (2), channel inactive (1)"


def test_a_migration_that_is_missing_is_named_and_no_table_is_read(well: WellNode) -> None:
    MigrationRecorder.Migration.objects.filter(app="orders", name__startswith="0003").delete()
    assert found(well)["migrations"].seen == "not applied: orders.0003_switches_and_alerts"
    assert "worker" not in found(well)


def test_without_the_database_the_node_is_looked_at_all_the_same(
    well: WellNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise DatabaseError("server closed the connection\nand more")

    monkeypatch.setattr(examination, "_database", gone)
    monkeypatch.setattr(examination, "_offered", gone)
    monkeypatch.setattr(examination.connection, "close", lambda: None)
    assert bad(well) == {"database": Health.FAILURE}
    assert found(well)["database"].seen == "server closed the connection"
    assert found(well)["version"].health is Health.OK


# The command


def told(*arguments: str) -> tuple[str, int]:
    """What it prints, and its exit code."""
    out = StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as ended:
        return out.getvalue(), int(str(ended.code))
    return out.getvalue(), 0


def test_the_command_ends_well_and_badly(well: WellNode) -> None:
    assert told()[1] == 0
    Heartbeat.objects.filter(name="streams").delete()
    assert told()[1] == 0  # a warning
    well.changes = {"uris": ()}
    text, code = told()
    assert code == 1
    assert "FAILURE  addresses" in text and "Set externalip" in text


def test_a_known_fault_of_the_node_is_told_line_by_line_and_is_no_failure(well: WellNode) -> None:
    well.changes = {"version": "0.21.3-beta"}
    text, code = told()
    assert code == 0
    assert "warning  version" in text
    lines = [line.strip() for line in text.splitlines()]
    assert sum(line.startswith("Before 0.21.") for line in lines) == 2


def test_the_command_without_a_node_says_so(well: WellNode, settings: Any) -> None:
    settings.LND_GRPC = ""
    text, code = told()
    assert code == 1 and "no node is set" in text


def test_the_command_speaks_json(well: WellNode) -> None:
    findings = json.loads(told("--json")[0])
    assert {frozenset(finding) for finding in findings} == {frozenset({"name", "health", "seen", "mend"})}
    assert {finding["health"] for finding in findings} == {"ok"}


def test_no_secret_is_told(well: WellNode, settings: Any) -> None:
    settings.LND_MACAROON = "0201" + "ab" * 40
    text = told()[0] + told("--json")[0]
    assert "hush" not in text  # of ALERT_URL
    assert settings.LND_MACAROON not in text
    assert settings.SECRET_KEY not in text and settings.PREIMAGE_KEY not in text


@pytest.fixture
def bitcoind(well: WellNode, settings: Any) -> Iterator[Bitcoind]:
    node = Bitcoind()
    well.block_hash = lambda height: BLOCK  # type: ignore[method-assign, assignment]
    with running(node) as settings.CHAIN_RPC:
        yield node


def test_a_chain_source_that_follows_the_nodes_chain_is_well(well: WellNode, bitcoind: Bitcoind) -> None:
    assert bad(well) == {} and found(well)["chain_source"].seen == "block 800, our node's 800"


def test_a_chain_source_that_is_away_behind_or_elsewhere_is_told_without_its_password(
    well: WellNode, bitcoind: Bitcoind, settings: Any
) -> None:
    bitcoind.height = 790
    assert bad(well) == {"chain_source": Health.WARNING}
    bitcoind.height, bitcoind.status = 800, 503
    assert bad(well) == {"chain_source": Health.WARNING}
    bitcoind.status = 200
    well.block_hash = lambda height: "cc" * 32  # type: ignore[method-assign, assignment]
    assert bad(well) == {"chain_source": Health.FAILURE}
    settings.CHAIN_RPC = settings.CHAIN_RPC.replace(WRITTEN_PASSWORD, "wrong-word")
    out = StringIO()
    call_command("doctor", "--json", stdout=out)
    assert "refuses our user and password" in out.getvalue() and "wrong-word" not in out.getvalue()


def test_a_chain_source_whose_genesis_alone_is_ours_is_elsewhere(well: WellNode, bitcoind: Bitcoind) -> None:
    well.block_hash = lambda height: BLOCK if height == 0 else "cc" * 32  # type: ignore[method-assign, assignment]
    assert bad(well) == {"chain_source": Health.FAILURE}
