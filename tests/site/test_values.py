"""Values that are well-formed and cannot work: nobody would notice before the first buyer does."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.certificate import certificate
from tests.site.credentials import MACAROON, node_files
from tests.site.test_configuration import MAINNET, configured, faults

#: Points of the curve: the generator, and its double.
KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
OTHER = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"


def named(**environment: str) -> list[str]:
    """The settings that are refused."""
    return [fault.partition(" ")[0] for fault in faults(**environment)]


@pytest.mark.parametrize(
    "uris",
    [
        f"{KEY}@host:87654",
        f"{KEY}@host:0",
        f"{KEY}",
        f"{KEY}@",
        f"{KEY}@:9735",
        f"{KEY}@ho st:9735",
        f"{KEY}@http://host:9735",
        f"{KEY}@999.1.1.1:9735",
        f"{KEY}@0.0.0.0:9735",
        f"{KEY}@[fe80:9735",
        f"{'02' + 'ff' * 32}@host:9735",
        f"{'02' + '00' * 31 + '05'}@host:9735",
        f"04{KEY[2:]}@host:9735",
        f"{KEY}@host:9735,{OTHER}@host:9735",
        f"{KEY}@host:9735,{KEY}@host:87654",
        ",",
    ],
)
def test_found_d8_an_address_that_no_wallet_can_connect_to_is_refused(uris: str) -> None:
    assert named(NODE_URIS=uris) == ["NODE_URIS"]


def test_found_d8_addresses_are_kept_as_wallets_are_told_them() -> None:
    written = (
        f" {KEY.upper()}@lsp.example:9735, {KEY}@[2001:db8::1]:9736,{KEY}@{'a' * 56}.onion,{KEY}@lsp.example:9735,"
    )
    assert configured(NODE_URIS=written)["NODE_URIS"] == (
        f"{KEY}@lsp.example:9735",
        f"{KEY}@[2001:db8::1]:9736",
        f"{KEY}@{'a' * 56}.onion:9735",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_found_d8_on_mainnet_wallets_are_not_sent_to_their_own_machine(host: str) -> None:
    uri = f"{KEY}@{host}:9735"
    assert named(**MAINNET, NODE_URIS=uri) == ["NODE_URIS"]
    assert configured(LND_NETWORK="regtest", NODE_URIS=uri)["NODE_URIS"] == (uri,)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LND_GRPC", "https://127.0.0.1:10009"),
        ("LND_GRPC", "lnd@127.0.0.1:10009"),
        ("LND_GRPC", "0.0.0.0:10009"),
        ("LND_GRPC", "host:10009/"),
        ("LISTEN", "http://127.0.0.1:8000"),
        ("LISTEN", "*:8000"),
        ("LISTEN", "127.0.0.300:8000"),
        ("LISTEN", "[zz]:8000"),
        ("PUBLIC_URL", "https://alice@lsp.example"),
        ("PUBLIC_URL", "https://lsp.example/?"),
        ("PUBLIC_URL", "https://lsp.example/a path"),
        ("PUBLIC_URL", "https://lsp.example:0"),
        ("PUBLIC_URL", "https://lsp.example:87654"),
        ("PUBLIC_URL", "https://lsp..example"),
        ("PUBLIC_URL", "http://0.0.0.0:8000"),
        ("PUBLIC_URL", "https://lsp.exämple"),
        ("ALLOWED_HOSTS", "https://lsp.example"),
        ("ALLOWED_HOSTS", "lsp.example:8000"),
        ("ALLOWED_HOSTS", ","),
        ("CSRF_TRUSTED_ORIGINS", "https://lsp.example/admin"),
        ("CSRF_TRUSTED_ORIGINS", "https://"),
        ("CSRF_TRUSTED_ORIGINS", ","),
        ("TRUSTED_PROXIES", ","),
        ("TRUSTED_PROXIES", "0.0.0.0/0"),
        ("TRUSTED_PROXIES", "10.0.0.1,::/0"),
        ("TRUSTED_PROXIES", "-1"),
        ("ALERT_URL", "nosuchservice://token"),
        ("ALERT_URL", "json://a.example/x,mailto://"),
        ("CHAIN_RPC", "http://127.0.0.1:8332"),
        ("CHAIN_RPC", "http://lsp@127.0.0.1:8332"),
        ("CHAIN_RPC", "http://lsp:word@127.0.0.1"),
        ("CHAIN_RPC", "http://lsp:word@127.0.0.1:0"),
        ("CHAIN_RPC", "http://lsp:wo@rd@127.0.0.1:8332"),
        ("CHAIN_RPC", "http://lsp:word@127.0.0.1:8332/wallet/x"),
        ("CHAIN_RPC", "tcp://lsp:word@127.0.0.1:8332"),
        ("DATABASE_URL", "postgres://lsp:word@db:99999/lsp"),
        ("DATABASE_URL", "postgres://lsp:word@db/lsp?sslmod=require"),
        ("DATABASE_URL", "postgres://lsp:word@db/lsp?autocommit=false"),
        ("DATABASE_URL", "postgres://lsp:word@db/lsp?isolation_level=1"),
        ("LSP_HOME", "/dev/null"),
        ("LSP_HOME", "/dev/null/lsp"),
        ("LSP_HOME", "~nobody-has-this-name/lsp"),
        ("LSP_HOME", "${HOME}/lsp"),
        ("LSP_HOME", "'/var/lib/lsp'"),
        ("LSP_HOME", "/var/lib/lsp\u200b"),
        ("LND_TLS_CERT", "/dev/null"),
        ("LND_TLS_CERT", "/etc/passwd"),
        ("LND_MACAROON", "/dev/null"),
        ("LND_MACAROON", "/etc/passwd"),
        ("LND_MACAROON", "00" * 40),
        ("LND_MACAROON", MACAROON[:31].hex()),
        ("LND_MACAROON", MACAROON.hex()[:-1]),
        ("ORDER_LIFETIME_SECONDS", "59"),
        ("OPEN_WINDOW_SECONDS", "119"),
        ("FRESH_ATTEMPT_SECONDS", "119"),
        ("MAX_FUNDING_FEE_SAT", "199"),
    ],
)
def test_found_d6_a_value_that_cannot_work_is_refused(name: str, value: str) -> None:
    assert named(**{name: value}) == [name]


def test_found_d6_a_key_in_the_certificates_place_and_hex_in_the_macaroons_are_refused(tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "hex.macaroon").write_text(MACAROON.hex())
    wrong = {"LND_TLS_CERT": str(tmp_path / "tls.key"), "LND_MACAROON": str(tmp_path / "hex.macaroon")}
    assert named(**wrong) == ["LND_MACAROON", "LND_TLS_CERT"]
    assert "must not be in hex" in faults(**wrong)[0]


def test_the_files_of_a_node_are_accepted(tmp_path: Path) -> None:
    written = node_files(tmp_path)
    assert configured(**written)["LND_TLS_CERT"] == written["LND_TLS_CERT"]
    assert configured(LND_MACAROON=MACAROON.hex())["LND_MACAROON"] == MACAROON.hex()


@pytest.mark.parametrize(
    ("written", "refused"),
    [
        ({"RETRY_MAX_SECONDS": "3601", "OPEN_WINDOW_SECONDS": "3600"}, "RETRY_MAX_SECONDS must not be above"),
        ({"FUNDING_LEASE_SECONDS": "900"}, "FUNDING_LEASE_SECONDS must be above FRESH_ATTEMPT_SECONDS"),
    ],
)
def test_found_d6_settings_that_contradict_each_other_are_refused(written: dict[str, str], refused: str) -> None:
    [fault] = faults(**written)
    assert fault.startswith(refused)


def test_urls_are_kept_as_browsers_write_them() -> None:
    """What is compared with a browser's Origin must have its form, and https is told by how the URL begins."""
    values = configured(PUBLIC_URL="HTTPS://LSP.Example:443/Shop/", ALLOWED_HOSTS=".Example").values
    assert values["PUBLIC_URL"] == "https://lsp.example/Shop"
    assert values["CSRF_TRUSTED_ORIGINS"] == ("https://lsp.example",)
    origins = configured(CSRF_TRUSTED_ORIGINS="https://Lsp.example:443/, http://*.example:8080")
    assert origins["CSRF_TRUSTED_ORIGINS"] == ("https://lsp.example", "http://*.example:8080")


def test_found_d6_the_server_answers_its_own_questions_whatever_hosts_are_named() -> None:
    """`manage.py run`, containers and timers ask /healthz here: refused, the server would never be ready."""
    assert {"localhost", "127.0.0.1", "[::1]"} < set(configured(ALLOWED_HOSTS="lsp.example")["ALLOWED_HOSTS"])


def test_where_all_addresses_are_listened_at_buyers_are_not_sent_to_0000() -> None:
    assert configured(LISTEN="0.0.0.0:9000")["PUBLIC_URL"] == "http://127.0.0.1:9000"
    assert configured(LISTEN="[::]:9000")["PUBLIC_URL"] == "http://127.0.0.1:9000"


def test_a_certificate_for_who_shows_none_is_refused(tmp_path: Path) -> None:
    certificate(tmp_path)
    shown = tmp_path / "tls.cert"
    plain, safe = "http://lsp:word@127.0.0.1:8334", "https://lsp:word@127.0.0.1:8334"
    assert named(CHAIN_RPC_CERT=str(shown)) == named(CHAIN_RPC_CERT=str(shown), CHAIN_RPC=plain) == ["CHAIN_RPC_CERT"]
    assert configured(CHAIN_RPC_CERT=str(shown), CHAIN_RPC=safe)["CHAIN_RPC"] == safe


@pytest.mark.parametrize(
    "page",
    [
        "https://chain.example/tx/",
        "https://chain.example/{txid}/{txid}",
        "https://chain.example/{pubkey}/{txid}",
        "ftp://chain.example/{txid}",
        "javascript:alert('{txid}')",
        "//chain.example/{txid}",
        "https:///{txid}",
        'https://chain.example/"{txid}',
        "https://chain.example/a b/{txid}",
        "chain.example/{txid}",
    ],
)
def test_an_explorer_that_no_link_can_lead_to_is_refused(page: str) -> None:
    assert named(BLOCK_EXPLORER_URL=page) == ["BLOCK_EXPLORER_URL"]


@pytest.mark.parametrize(
    "page",
    ["https://chain.example/tx/{txid}", "http://explorer.onion:81/#/tx/{txid}?lang=en", "https://[2001:db8::1]/{txid}"],
)
def test_an_explorers_page_is_kept_as_it_was_written(page: str) -> None:
    assert configured(BLOCK_EXPLORER_URL=page)["BLOCK_EXPLORER_URL"] == page
    node = page.replace("{txid}", "{pubkey}")
    assert configured(NODE_EXPLORER_URL=node)["NODE_EXPLORER_URL"] == node
    assert named(NODE_EXPLORER_URL=page) == ["NODE_EXPLORER_URL"]
