"""lsps1.get_info over REST. Each test is named by its number in docs/conformance.md."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from orders.models import NodeSnapshot, Service, Switch, SwitchName
from tests.fakes import OUR_KEY, FakeNode
from tests.integration.lsps1 import INVALID, NOT_NOW, ROOTS, Wallet, refused

NUMBERS = {
    "min_required_channel_confirmations",
    "min_funding_confirms_within_blocks",
    "max_channel_expiry_blocks",
}
AMOUNTS = {
    "min_initial_client_balance_sat",
    "max_initial_client_balance_sat",
    "min_initial_lsp_balance_sat",
    "max_initial_lsp_balance_sat",
    "min_channel_balance_sat",
    "max_channel_balance_sat",
}


@pytest.fixture
def wallet(db: None, node: FakeNode, snapshot: NodeSnapshot) -> Wallet:
    return Wallet()


def test_l1_01_it_takes_no_parameters(wallet: Wallet) -> None:
    answer = wallet.get_info(foo="1", bar="2")
    assert refused(answer)[0] == INVALID
    assert answer.said["error"]["data"]["unrecognized"] == ["bar", "foo"]
    assert wallet.get_info(public_key="x", client_info="y").status_code == 200


@pytest.mark.parametrize("root", ROOTS)
def test_l1_02_all_ten_options_are_there_flat_and_nested_with_their_types(wallet: Wallet, root: str) -> None:
    said = Wallet(root).get_info().said
    for options in (said, said["options"]):
        assert all(type(options[name]) is int for name in NUMBERS)
        assert all(isinstance(options[name], str) and options[name].isdecimal() for name in AMOUNTS)
        assert options["supports_zero_channel_reserve"] is False
    assert set(said["options"]) == NUMBERS | AMOUNTS | {"supports_zero_channel_reserve"}


def test_l1_02_without_aliases_there_is_nothing_else(wallet: Wallet, settings: Any) -> None:
    settings.LSPS1_ALIASES = False
    assert set(wallet.get_info().said) == NUMBERS | AMOUNTS | {"supports_zero_channel_reserve"}


def test_l1_03_every_least_is_within_its_most(wallet: Wallet) -> None:
    said = wallet.get_info().said
    for side in ("initial_client_balance", "initial_lsp_balance", "channel_balance"):
        assert 0 <= int(said[f"min_{side}_sat"]) <= int(said[f"max_{side}_sat"])
    assert said["min_required_channel_confirmations"] >= 0
    assert said["min_funding_confirms_within_blocks"] >= 1 <= said["max_channel_expiry_blocks"]


def test_l1_04_it_is_what_staff_have_set_and_not_what_the_day_brings(wallet: Wallet, snapshot: NodeSnapshot) -> None:
    before = wallet.get_info().said
    NodeSnapshot.objects.update(spendable_sat=0, estimate_sat_per_kw=250_000, synced_to_chain=False)
    Switch.objects.create(name=SwitchName.SALES, on=False, reason="Inventory.", at=timezone.now(), actor="alice")
    assert wallet.get_info().said == before


def test_l1_05_no_channel_without_a_reserve_is_promised(wallet: Wallet) -> None:
    assert wallet.get_info().said["supports_zero_channel_reserve"] is False


def test_l1_06_it_is_what_is_sold(wallet: Wallet) -> None:
    service = Service.objects.get()
    said = wallet.get_info().said
    assert int(said["max_channel_balance_sat"]) == service.max_channel_sat
    assert int(said["min_channel_balance_sat"]) == service.min_channel_sat >= 20_000
    assert said["max_channel_expiry_blocks"] == service.max_expiry_blocks
    edge = {"lsp_balance_sat": said["min_initial_lsp_balance_sat"], "client_balance_sat": "0"}
    assert wallet.create_order(**edge).status_code == 200
    edge = {"lsp_balance_sat": said["max_initial_lsp_balance_sat"], "client_balance_sat": "0"}
    assert wallet.create_order(**edge, channel_expiry_blocks=said["max_channel_expiry_blocks"]).status_code == 200


def test_l1_07_our_addresses_are_there_the_easiest_first(wallet: Wallet, settings: Any) -> None:
    assert wallet.get_info().said["uris"] == [f"{OUR_KEY}@203.0.113.5:9735"]
    onion = f"{OUR_KEY}@{'a' * 56}.onion:9735"
    hosts = [f"{OUR_KEY}@{host}:9735" for host in ("203.0.113.5", "ln.example.com", "[2001:db8::1]")]
    settings.NODE_URIS = (onion, hosts[2], hosts[1], hosts[0])
    assert wallet.get_info().said["uris"] == [*hosts, onion]


def test_no_node_is_called_and_none_has_to_have_been_seen(db: None, node: FakeNode) -> None:
    answer = Wallet().get_info()
    assert (answer.status_code, answer.said["uris"], node.calls) == (200, [], [])


def test_where_nothing_is_on_sale_that_is_said(wallet: Wallet) -> None:
    Service.objects.update(on_sale=False)
    answer = wallet.get_info()
    assert answer.status_code == 503 and "Retry-After" in answer
    assert refused(answer)[0] == NOT_NOW
