"""Which webhooks we call for a stranger, and what a notification is: rules, no I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from orders.waking import signing
from orders.waking.urls import BadScheme, BadUrl, Target, read


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://www.example.org/push?l=12&c=best", Target("www.example.org", 443, "/push?l=12&c=best")),
        ("HTTPS://Push.Example.org", Target("push.example.org", 443, "/")),
        ("https://push.example.org:8443/a#b", Target("push.example.org", 8443, "/a")),
        ("https://8.8.8.8/a", Target("8.8.8.8", 443, "/a")),
        ("https://[2606:4700::1111]/a", Target("2606:4700::1111", 443, "/a")),
    ],
)
def test_a_url_of_the_internet_is_read(url: str, target: Target) -> None:
    assert read(url) == target


@pytest.mark.parametrize("url", ["http://push.example.org/", "ftp://push.example.org/", "wss://push.example.org/"])
def test_l5_02_another_protocol_is_told_from_what_is_no_url(url: str) -> None:
    with pytest.raises(BadScheme):
        read(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "push.example.org", "https://", "https:push.example.org", "https:///a", "https://a b.example/",
        "https://push.example.org/\r\nx-evil: 1", "https://push.example.org/\t", "https://püsh.example.org/",
        "https://user@push.example.org/", "https://user:word@push.example.org/", "https://push.example.org\\@evil/",
        "https://push.example.org:0x50/", "https://push.example.org:65536/", "https://[::1/", "https://push/",
        "https://push..example.org/", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_l5_02_what_is_no_url_that_leads_to_a_host_is_refused(url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        read(url)
    assert not isinstance(refused.value, BadScheme) and "webhook must" in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "a.localhost", "printer.local", "vault.internal", "nas.home.arpa", "127.0.0.1", "127.1",
        "2130706433", "0x7f.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[fd00::1]", "[fe80::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]",
        "a" * 56 + ".onion", "localhost.",
    ],
)  # fmt: skip
def test_l5_18_a_host_that_is_not_of_the_internet_is_refused(host: str) -> None:
    with pytest.raises(BadUrl):
        read(f"https://{host}/push")


@pytest.mark.parametrize("port", [22, 25, 80, 1023])
def test_l5_18_nor_is_a_port_that_is_a_hosts_other_service(port: int) -> None:
    with pytest.raises(BadUrl):
        read(f"https://push.example.org:{port}/")


def test_the_header_names_the_host_and_a_port_that_is_not_the_usual_one() -> None:
    assert read("https://push.example.org/").authority == "push.example.org"
    assert read("https://push.example.org:8443/").authority == "push.example.org:8443"
    assert read("https://[2606:4700::1111]:8443/").authority == "[2606:4700::1111]:8443"


def test_l5_16_a_notification_is_written_as_a_client_writes_what_it_has_read() -> None:
    assert signing.body("lsps5.payment_incoming", None) == (
        b'{"jsonrpc":"2.0","method":"lsps5.payment_incoming","params":{}}'
    )
    assert signing.body("lsps5.expiry_soon", 144) == (
        b'{"jsonrpc":"2.0","method":"lsps5.expiry_soon","params":{"timeout":144}}'
    )


def test_l5_17_the_example_of_the_specification_is_signed_byte_by_byte() -> None:
    at = signing.timestamp(datetime(2023, 5, 4, 10, 52, 58, 395_999, tzinfo=UTC))
    assert at == "2023-05-04T10:52:58.395Z"
    signed = signing.signed(at, b'{"jsonrpc":"2.0","method":"lsps5.goodbye","params":{}}')
    assert signed[:32].hex() == "4c535053353a20444f204e4f54205349474e2054484953204d455353414745204d414e5541"[:64]
    assert signed[-54:].hex().startswith("7b226a736f6e727063223a22322e30222c226d6574686f64223a226c73707335")
    assert len(signed) == 0x8A


def test_l5_17_a_time_of_elsewhere_is_told_in_utc() -> None:
    there = timezone(timedelta(hours=2))
    assert signing.timestamp(datetime(2023, 5, 4, 1, 2, 3, tzinfo=there)) == "2023-05-03T23:02:03.000Z"
