"""The one rule of whom we do not serve."""

from __future__ import annotations

import pytest

from lightning.transactions import address_script
from orders import barring
from orders.barring import Asked, BanKind, Listed, objection
from tests.factories import pubkey
from tests.fakes import regtest_address

HOST, NODE, REFUND, PAYER = BanKind.HOST, BanKind.NODE, BanKind.REFUND_ADDRESS, BanKind.PAYER


def bars_host(value: str, host: str) -> bool:
    listed = Listed(HOST, barring.read(HOST, value, "regtest"))
    return objection(Asked(host=f"{host}:9735"), [listed]) is HOST


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("node.example.com", "node.example.com"),
        ("Node.Example.com", "nODE.example.COM."),
        (".example.com", "example.com"),
        (".example.com", "a.b.example.com"),
        ("*.example.com", "a.example.com"),
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.0/24", "203.0.113.200"),
        ("203.0.113.9/24", "203.0.113.1"),  # whoever writes an address with a mask means its network
        ("203.0.113.0/24", "3405803876"),  # 203.0.113.100
        ("203.0.113.0/24", "0xcb.0.0x71.1"),
        ("203.0.113.0/24", "[::ffff:203.0.113.5]"),
        ("203.0.113.0/24", "[64:ff9b::203.0.113.5]"),
        ("2001:db8::/32", "[2001:DB8::1]"),
        ("[2001:db8::1]", "[2001:db8:0::1]"),
        ("a" * 56 + ".onion", "A" * 56 + ".onion"),
    ],
)
def test_a_host_is_barred_in_whatever_way_it_is_written(value: str, host: str) -> None:
    assert bars_host(value, host)


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("example.com", "a.example.com"),
        (".example.com", "notexample.com"),
        ("203.0.113.0/24", "203.0.114.1"),
        ("203.0.113.0/24", "[2001:db8::1]"),
        ("203.0.113.7", "203.0.113.70"),
        ("2001:db8::/32", "[2001:db9::1]"),
    ],
)
def test_no_other_host_is(value: str, host: str) -> None:
    assert not bars_host(value, host)


@pytest.mark.parametrize("value", ["", " ", "a b", "example.com:9735", "1.2.3.4.5", "203.0.113.0/33", "x" * 300, "."])
def test_what_is_no_host_is_not_listed(value: str) -> None:
    """A line that can never be met would let staff believe that somebody is barred."""
    with pytest.raises(ValueError):
        barring.read(HOST, value, "regtest")


def test_a_node_is_barred_by_its_key_whatever_its_host() -> None:
    listed = Listed(NODE, barring.read(NODE, pubkey(1).upper() + "@host.example:1", "regtest"))
    assert objection(Asked(node=pubkey(1), host="other.example:9735"), [listed]) is NODE
    assert objection(Asked(node=pubkey(2)), [listed]) is None


@pytest.mark.parametrize("kind", [REFUND, PAYER])
def test_an_address_is_barred_in_either_case_and_only_for_what_it_is_listed_for(kind: BanKind) -> None:
    address = regtest_address(5)
    listed = Listed(kind, barring.read(kind, address.upper(), "regtest"))
    asked = {
        REFUND: Asked(refund_address=address.upper()),
        PAYER: Asked(payers=[address_script(regtest_address(6)), address_script(address)]),
    }
    assert objection(asked[kind], [listed]) is kind
    assert objection(asked[PAYER if kind is REFUND else REFUND], [listed]) is None
    assert (
        objection(Asked(refund_address=regtest_address(6), payers=[address_script(regtest_address(6))]), [listed])
        is None
    )


@pytest.mark.parametrize("kind", [REFUND, PAYER])
@pytest.mark.parametrize("text", ["", "nonsense", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"])
def test_what_is_no_address_of_this_network_is_not_listed(kind: BanKind, text: str) -> None:
    with pytest.raises(ValueError):
        barring.read(kind, text, "regtest")


def test_who_has_said_nothing_is_served() -> None:
    everything = [
        Listed(NODE, pubkey(1)), Listed(HOST, ".example.com"), Listed(HOST, "0.0.0.0/0"),
        Listed(REFUND, regtest_address(1)), Listed(PAYER, regtest_address(1)),
    ]  # fmt: skip
    assert objection(Asked(), everything) is None


def test_a_long_list_is_no_work_for_who_names_none_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gone through at each claim and look, of orders that strangers make."""
    read: list[str] = []
    monkeypatch.setattr(barring.transactions, "address_script", lambda address: read.append(address) or address)
    barring._script_of.cache_clear()
    listed = [Listed(kind, f"address {number}") for kind in (REFUND, PAYER) for number in range(50)]
    assert objection(Asked(node=pubkey(5), host="node.example.com:9735"), listed) is None
    assert not read
    for _ in range(3):
        assert objection(Asked(payers=["somebody"]), listed) is None
    assert len(read) == 50
    barring._script_of.cache_clear()
    assert barring.kinds(Asked(node=pubkey(5))) == [NODE] and not barring.kinds(Asked())
