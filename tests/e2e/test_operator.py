"""What the operator has, on real nodes: the macaroon with no right too many, the doctor, the pause."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import grpc
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from lightning import connection
from lightning.node import LndNode
from lightning.rights import to_bake
from orders import actors
from orders.models import Alert, SwitchName
from orders.operations import pausing
from tests.e2e.shop import Shop
from tests.e2e.test_worker import worker
from tests.factories import OrderFactory
from tests.integration.test_alerting import Receiver, receiver
from tests.regtest.build import DESCRIPTORS
from tests.regtest.payment import SUCCEEDED
from tests.regtest.rpc import Rpc
from tests.regtest.waiting import until
from watch import doctor
from watch.doctor import Finding, Health

__all__ = ["receiver", "worker"]  # fixtures


def bake(*arguments: str) -> str:
    out = StringIO()
    call_command("bake_macaroon", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def baked(shop: Shop, settings: Any, tmp_path: Path) -> Path:
    """The shop works with the macaroon that the command has baked."""
    path = tmp_path / "lsp.macaroon"
    bake("--admin-macaroon", str(shop.network.lsp.admin_macaroon), "--out", str(path), "--root-key-id", "7")
    settings.LND_MACAROON = str(path)
    return path


@pytest.fixture
def server_environment(server_environment: dict[str, str], receiver: Receiver) -> dict[str, str]:
    """Somebody is to be told."""
    return server_environment | {"ALERT_URL": receiver.url}


def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.thorough(connection.node())}


def test_the_baked_macaroon_is_enough_for_a_whole_purchase(shop: Shop, baked: Path) -> None:
    assert stat.S_IMODE(baked.stat().st_mode) == 0o600
    quote = shop.buy(remote_balance=20_000)
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote)
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    found = findings()
    assert found["macaroon"].seen == "allows what the server calls, and no more"
    named = {"node", "wallet", "network", "chain", "addresses", "features", "reserve", "macaroon"}
    assert {name for name in named if found[name].health is not Health.OK} == set()
    assert not found["version"].is_failure  # the newest that can be built from Go modules has known faults
    assert found["node"].seen.endswith(shop.network.lsp.pubkey)


@pytest.fixture
def little(shop: Shop, baked: Path) -> Iterator[Rpc]:
    """All of lnd's interface, called with the baked macaroon."""
    lsp = shop.network.lsp
    rpc = Rpc(lsp.grpc_address, lsp.tls_certificate.read_bytes(), baked.read_bytes(), lsp._binaries / DESCRIPTORS)
    yield rpc
    rpc.close()


def answer_of(rpc: Rpc, path: str) -> str:
    """What the node says to an empty request; most have to be refused, for what they lack."""
    name = path.removeprefix("/")
    try:
        if rpc.method(name).gets_stream:
            next(rpc.stream(name, timeout=2), None)
        else:
            rpc.call(name, timeout=10)
    except grpc.RpcError as refused:
        return str(refused.details())
    return "OK"


def can_be_called(rpc: Rpc, path: str) -> bool:
    """Not where our side streams, nor where the harness has no description of the service."""
    try:
        return not rpc.method(path.removeprefix("/")).sends_stream
    except KeyError:
        return False


def test_every_call_that_the_server_makes_works_with_the_baked_macaroon(little: Rpc) -> None:
    answers = {path: answer_of(little, path) for path in to_bake()}
    refused = ("permission denied", "unknown method", "unknown service")  # of an empty policy LND says "unknown scope"
    assert [path for path, answer in answers.items() if any(word in answer for word in refused)] == []
    assert answers["/lnrpc.Lightning/GetInfo"] == "OK"


def test_of_all_that_lnd_can_do_the_baked_macaroon_allows_nothing_else(shop: Shop, little: Rpc) -> None:
    node = LndNode(connection.credentials())
    everything = set(shop.network.lsp.call("lnrpc.Lightning/ListPermissions").method_permissions)
    assert len(everything) > 100 and set(to_bake()) < everything
    assert {path for path in everything if node.allows(path)} == set(to_bake())
    called = [path for path in everything - set(to_bake()) if can_be_called(little, path)]
    assert len(called) > 50 and "/lnrpc.Lightning/SendCoins" in called
    for path in called:
        assert answer_of(little, path) == "permission denied", path


def test_a_right_that_a_newer_version_needs_is_named(shop: Shop, settings: Any) -> None:
    settings.LND_MACAROON = shop.network.lsp.bake_macaroon(to_bake()[1:])
    finding = findings()["macaroon"]
    assert finding.health is Health.FAILURE
    assert finding.seen == f"does not allow {to_bake()[0].rpartition('/')[2]}"
    assert "bake_macaroon" in finding.mend


def test_the_admin_macaroon_works_and_what_it_may_besides_is_named(shop: Shop) -> None:
    finding = findings()["macaroon"]
    assert finding.health is Health.OK  # where nothing but a trial is played
    assert "SendCoins" in finding.seen and "SendPaymentV2" in finding.seen


def test_a_macaroon_that_was_made_for_less_is_seen_through(shop: Shop, settings: Any) -> None:
    settings.LND_MACAROON = str(shop.network.lsp.admin_macaroon.with_name("readonly.macaroon"))
    finding = findings()["macaroon"]
    assert finding.health is Health.FAILURE and finding.seen.startswith("does not allow ")
    assert not LndNode(connection.credentials()).allows("/invoicesrpc.Invoices/SettleInvoice")


def test_a_macaroon_is_not_baked_by_one_that_may_not_nor_over_another(shop: Shop, baked: Path, tmp_path: Path) -> None:
    admin, before = str(shop.network.lsp.admin_macaroon), baked.read_bytes()
    with pytest.raises(CommandError, match="permission denied"):
        bake("--admin-macaroon", str(baked), "--out", str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    with pytest.raises(CommandError, match="--force"):
        bake("--admin-macaroon", admin, "--out", str(baked))
    assert baked.read_bytes() == before
    bake("--admin-macaroon", admin, "--out", str(baked), "--force")
    assert baked.read_bytes() != before and stat.S_IMODE(baked.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="root-key-id"):
        bake("--admin-macaroon", admin, "--out", str(tmp_path / "other"), "--root-key-id", "0")
    assert [path.name for path in tmp_path.iterdir()] == ["lsp.macaroon"]


def test_a_revoked_root_key_ends_the_macaroon(shop: Shop, baked: Path) -> None:
    shop.network.lsp.call("lnrpc.Lightning/DeleteMacaroonID", root_key_id=7)
    assert findings()["macaroon"].health is Health.FAILURE


def test_a_claimed_order_waits_while_openings_are_paused_and_is_opened_after(shop: Shop) -> None:
    pausing.pause(SwitchName.OPENINGS, reason="an upgrade", actor=actors.staff("alice"))
    quote = shop.buy()
    payment = shop.pay(quote)
    shop.run(quote, "paid")
    shop.claim(quote)
    for _ in range(3):
        shop.turn()
        shop.hurry(quote)
    assert shop.order(quote).last_failure_reason == "OPENINGS_PAUSED"
    assert payment.status() == "IN_FLIGHT" and not shop.order(quote).openings.exists()
    pausing.resume(SwitchName.OPENINGS, actor=actors.staff("alice"))
    shop.run(quote, "open", mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)


@pytest.mark.long  # the worker's own schedule is waited for
def test_the_worker_tells_of_an_order_that_needs_a_person(shop: Shop, receiver: Receiver, worker: Path) -> None:
    order = OrderFactory(open=True, flagged="Look at it.")
    import_module("orders.migrations.0003_switches_and_alerts").make(apps, None)
    until(lambda: receiver.messages, f"somebody is told\n{worker.read_text()}", timeout=60)
    assert f"Order {str(order.pk)[:8]}… needs a person: Look at it." in receiver.messages[0]["message"]
    until(lambda: Alert.objects.filter(key__startswith="order:", sent_at__isnull=False).exists(), "it is on record")
    assert "hush" not in worker.read_text()
