"""The command, what it writes, and that nothing else knows of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from google.protobuf.descriptor import FileDescriptor

from lightning.connection import node
from lightning.proto import chainrpc_pb2, invoicesrpc_pb2, lnrpc_pb2, walletrpc_pb2
from simulator import control_pb2, control_service, invoices_service, lightning_service, wallet_service
from simulator.faults import Faults
from tests.house.source import first_party, imported
from tests.regtest.waiting import until
from tests.simulator.network import SimulatedNetwork, SimulatedNode


def test_it_refuses_to_stand_for_real_money(settings: Any, tmp_path) -> None:
    settings.LND_NETWORK = "mainnet"
    with pytest.raises(CommandError, match="mainnet"):
        call_command("run_simulator", home=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_it_refuses_to_listen_to_the_world(tmp_path) -> None:
    with pytest.raises(CommandError, match="127.0.0.1"):
        call_command("run_simulator", home=str(tmp_path), listen="0.0.0.0:10009")


def test_a_server_of_mainnet_does_not_take_it_for_its_node(network: SimulatedNetwork, settings: Any) -> None:
    settings.LND_GRPC, settings.LND_NETWORK = network.lsp.grpc_address, "mainnet"
    settings.LND_TLS_CERT = str(network.lsp.tls_certificate)
    settings.LND_MACAROON = str(network.lsp.admin_macaroon)
    with pytest.raises(Exception, match="regtest, not on mainnet"):
        node().info()


def test_its_secrets_are_for_its_owner_alone(network: SimulatedNetwork) -> None:
    for name in ("admin.macaroon", "tls.key", "state"):
        assert (network.lsp.folder / name).stat().st_mode & 0o077 == 0


def test_blocks_come_by_themselves_where_that_is_wished(tmp_path) -> None:
    own = SimulatedNode("blocks", tmp_path, block_seconds=0.1)
    own.start()
    try:
        address = own.new_address()
        txid = own.control.deposit((address, 10_000))
        until(lambda: not own.control.mempool(), "it is mined")
        assert txid in {each.tx_hash for each in own.transactions()}
    finally:
        own.kill()


def test_every_method_we_may_call_is_there() -> None:
    served: tuple[tuple[FileDescriptor, Any], ...] = (
        (lnrpc_pb2.DESCRIPTOR, lightning_service),
        (invoicesrpc_pb2.DESCRIPTOR, invoices_service),
        (walletrpc_pb2.DESCRIPTOR, wallet_service),
        (chainrpc_pb2.DESCRIPTOR, invoices_service),
        (control_pb2.DESCRIPTOR, control_service),
    )
    special = control_service.fault_calls(Faults())
    missing = [
        method.full_name
        for file, module in served
        for service in file.services_by_name.values()
        for method in service.methods
        if method.name not in special and not hasattr(module, _snake(method.name))
    ]
    assert missing == []


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_nothing_but_its_own_commands_knows_of_the_simulator() -> None:
    knowing = [
        source.name
        for source in first_party()
        if not source.name.startswith("simulator/") and any(name.startswith("simulator") for name in imported(source))
    ]
    assert knowing == []
