"""The configuration: what is read, what is refused, and that everything wrong is said at once."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lsp_site import pages
from lsp_site.configuration import Configuration, ConfigurationFaults, kept_key, read, required_cltv_blocks
from lsp_site.declared import VARIABLES

BASE = Path("/somewhere")
MAINNET = {
    "LND_NETWORK": "mainnet",
    "DATABASE_URL": "postgres://lsp:word@db/lsp",
    "PUBLIC_URL": "https://lsp.example",
}


def configured(**environment: str) -> Configuration:
    return read(environment, BASE)


def faults(**environment: str) -> list[str]:
    with pytest.raises(ConfigurationFaults) as raised:
        read(environment, BASE)
    return raised.value.faults


def test_an_empty_environment_is_enough_for_commands_that_need_no_node() -> None:
    assert configured().missing_node_variables == ("LND_GRPC", "LND_MACAROON", "LND_NETWORK")


@pytest.mark.parametrize(
    ("environment", "dials"),
    [
        ({}, True),
        ({"LND_NETWORK": "regtest"}, True),
        ({"LND_NETWORK": "signet"}, True),
        (MAINNET, False),
        ({**MAINNET, "DIAL_PRIVATE_ADDRESSES": "on"}, True),
        ({"LND_NETWORK": "testnet", "DIAL_PRIVATE_ADDRESSES": "off"}, False),
    ],
)
def test_found_b5_on_mainnet_the_node_dials_nothing_near_unless_told(environment: dict[str, str], dials: bool) -> None:
    assert configured(**environment)["DIAL_PRIVATE_ADDRESSES"] is dials


def test_a_limit_in_a_currency_without_a_rate_does_not_start() -> None:
    """It would sell nothing, to nobody, and no buyer could say why."""
    assert faults(MOST_NODE_IN_CURRENCY="5") == [
        "MOST_NODE_IN_CURRENCY needs a RATE_SOURCE: without a rate nothing would be sold."
    ]
    assert configured(MOST_NODE_IN_CURRENCY="5", RATE_SOURCE="shop.rates.now")["MOST_NODE_IN_CURRENCY"] == 5


def test_an_empty_value_counts_as_absent() -> None:
    assert configured(LISTEN="", LND_GRPC=" ").values == configured().values


def test_every_fault_is_named_at_once() -> None:
    wrong = {"LISTEN": "8000", "BUY_RATE": "fast", "UNPAID_SHARE_PERCENT": "101", "PREIMAGE_KEY": "00", "LND_GRPC": "x"}
    assert [fault.partition(" ")[0] for fault in faults(**wrong)] == sorted(wrong, key=list(VARIABLES).index)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN", "127.0.0.1:0"),
        ("LISTEN", "127.0.0.1:65536"),
        ("LISTEN", "::1:8000"),
        ("LND_GRPC", "localhost"),
        ("LND_NETWORK", "main"),
        ("LND_MACAROON", "/there/is/no/such.macaroon"),
        ("LND_TLS_CERT", "/there/is/no/tls.cert"),
        ("DATABASE_URL", "sqlite:///db"),
        ("DATABASE_URL", "postgres://localhost/"),
        ("DATABASE_URL", "postgres://localhost/lsp?pool=true"),
        ("PUBLIC_URL", "lsp.example"),
        ("PUBLIC_URL", "https://lsp.example/?a=b"),
        ("TRUSTED_PROXIES", "some"),
        ("CSRF_TRUSTED_ORIGINS", "lsp.example"),
        ("NODE_URIS", "alice@localhost:9735"),
        ("DEBUG", "perhaps"),
        ("ORDER_LIFETIME_SECONDS", "0"),
        ("ORDER_LIFETIME_SECONDS", "1.5"),
        ("HOLD_CLTV_BLOCKS", "2017"),
        ("READ_RATE", "0/min"),
        ("LIGHTNING_NODE", "node"),
        ("ALERT_URL", "alice@lsp.example"),
        ("SECRET_KEY", "g" * 64),
        ("METRICS_TOKEN", "of-21-characters-only"),
        ("METRICS_TOKEN", "x" * 40),
        ("METRICS_TOKEN", "no spaces in what is sent in a header"),
    ],
)
def test_a_malformed_value_is_refused(name: str, value: str) -> None:
    assert [fault.partition(" ")[0] for fault in faults(**{name: value})] == [name]


def test_alerts_go_to_several_urls_and_a_comma_may_belong_to_one() -> None:
    written = "json://a.example/x, mailto://bob:word@mail.example?to=a@b.example,c@d.example"
    assert configured(ALERT_URL=written)["ALERT_URL"] == (
        "json://a.example/x",
        "mailto://bob:word@mail.example?to=a@b.example,c@d.example",
    )


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "PREIMAGE_KEY", "LND_MACAROON", "DATABASE_URL", "ALERT_URL", "CHAIN_RPC", "METRICS_TOKEN"]
)
def test_a_malformed_secret_is_not_repeated(name: str) -> None:
    assert "hush" not in " ".join(faults(**{name: "hush"}))


def test_the_hold_covers_every_window_also_when_blocks_are_fast() -> None:
    windows = {"CLAIM_WINDOW_SECONDS": "600", "OPEN_WINDOW_SECONDS": "600", "GIVE_UP_GRACE_SECONDS": "600"}
    margins = {"PUBLISH_MARGIN_BLOCKS": "24", "SPARE_BLOCKS": "1"}
    assert required_cltv_blocks(configured(**windows, **margins).values) == 24 + 1 + 5  # 4.5, rounded up
    assert configured(**windows, **margins, HOLD_CLTV_BLOCKS="30")["HOLD_CLTV_BLOCKS"] == 30
    assert faults(**windows, **margins, HOLD_CLTV_BLOCKS="29")[0].startswith(
        "HOLD_CLTV_BLOCKS (29) must be at least 30"
    )


def test_mainnet_starts_with_its_own_database_and_https() -> None:
    assert configured(**MAINNET)["PUBLIC_URL"] == "https://lsp.example"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"PUBLIC_URL": ""}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "http://lsp.example"}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "http://onion.example"}, "PUBLIC_URL"),
        ({"DEBUG": "on"}, "DEBUG"),
    ],
)
def test_mainnet_does_not_start_unsafely(change: dict[str, str], named: str) -> None:
    assert [fault.partition(" ")[0] for fault in faults(**MAINNET | change)] == [named]


def test_an_onion_address_needs_no_https_on_mainnet() -> None:
    onion = "http://lspexamplexyz.onion"
    assert configured(**MAINNET | {"PUBLIC_URL": onion})["PUBLIC_URL"] == onion


@pytest.mark.parametrize(("chain", "confirmations"), [("regtest", 1), ("signet", 3), ("testnet", 3)])
def test_onchain_confirmations_follow_the_network(chain: str, confirmations: int) -> None:
    assert configured(LND_NETWORK=chain)["ONCHAIN_CONFIRMATIONS"] == confirmations


def test_public_url_hosts_and_origins_follow_from_where_we_listen() -> None:
    values = configured(LISTEN="127.0.0.1:9000").values
    assert values["PUBLIC_URL"] == "http://127.0.0.1:9000"
    assert values["CSRF_TRUSTED_ORIGINS"] == ("http://127.0.0.1:9000",)
    assert set(values["ALLOWED_HOSTS"]) == {"127.0.0.1", "localhost", "[::1]"}


@pytest.mark.parametrize(("written", "trusted"), [("2", 2), ("10.0.0.1, 10.1.0.0/16", ("10.0.0.1/32", "10.1.0.0/16"))])
def test_proxies_are_a_count_or_addresses(written: str, trusted: Any) -> None:
    assert configured(TRUSTED_PROXIES=written)["TRUSTED_PROXIES"] == trusted


def test_a_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    key = kept_key(tmp_path / "home", "secret_key")
    assert (len(key), kept_key(tmp_path / "home", "secret_key")) == (32, key)
    assert stat.S_IMODE((tmp_path / "home" / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["secret_key"]


def test_starts_at_the_same_moment_agree_on_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads share a pid, processes do not: the draft of each must have its own name here too.
    pids = iter(range(100))
    monkeypatch.setattr("lsp_site.configuration.os.getpid", lambda: next(pids))
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: kept_key(tmp_path, "preimage_key"), range(32)))
    assert len(keys) == 1


def test_a_spoiled_key_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "preimage_key").write_text("abc")
    with pytest.raises(ConfigurationFaults, match="preimage_key must hold 32 bytes"):
        kept_key(tmp_path, "preimage_key")


def test_every_variable_stands_on_the_configuration_page() -> None:
    page = pages.configuration()
    assert [name for name in VARIABLES if f"| `{name}` |" not in page] == []
