"""Which hosts our node dials for a stranger: what is no address of the internet, in every spelling that leads there."""

from __future__ import annotations

import threading
from ipaddress import ip_address
from typing import Any

import pytest

from lightning import addresses, dialling
from lightning.errors import PeerOffline

ONION = "a" * 55 + "d.onion"
#: Nobody else's node is there.
OURS = (
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.255", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.5", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fc00::1", "fd12:3456:789a::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1",
    "2001:db8::1", "3fff::1", "5f00::1", "64:ff9b:1::a00:1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",  # mapped, and as it once was
    "::ffff:0:127.0.0.1",  # translated
    "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254",  # NAT64
    "2002:7f00:1::1", "2002:a00:1::", "2002:a9fe:a9fe::",  # 6to4
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
)  # fmt: skip
#: Anybody's may be.
THEIRS = (
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
    "2606:4700::1111", "2a01:4f8::1", "2620:0:1::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
)  # fmt: skip


@pytest.mark.parametrize("text", OURS)
def test_found_b5_what_is_no_address_of_the_internet_is_not_dialled(text: str) -> None:
    assert not addresses.is_public(ip_address(text))


@pytest.mark.parametrize("text", THEIRS)
def test_found_b5_an_address_of_the_internet_is_dialled(text: str) -> None:
    assert addresses.is_public(ip_address(text))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f.1", "0x7f000001", "0X7F.0.0.1", "0177.0.0.1",
        "017700000001", "127.0.0.1.", "127.1..", "0", "0.0", "0x", "[::1]", "[::ffff:7f00:1]", "[::FFFF:127.0.0.1]",
        "169.254.169.254", "0xa9fea9fe", "2852039166",
        "1.2.3.4.5", "256.1.1.1", "999999999999", "1.2.3.0xg.4", "[:::]", "[12]", "a.b.1",
        "localhost", "LOCALHOST", "localhost.", "me.localhost", "node.local", "printer.LOCAL.", "router.home.arpa",
        "metadata.google.internal", "bitcoind", "lnd", "node.onion", "127.0.0.1.onion", f"x.{ONION}", f"{ONION}.",
        "a" * 16 + ".onion",
    ],
)  # fmt: skip
def test_found_b5_each_spelling_of_what_is_near_is_seen_before_anybody_is_asked(host: str) -> None:
    assert addresses.objection(f"{host}:9735").startswith("The node's host ")


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "134744072", "0x8.8.8.8", "[2606:4700::1111]", "node.example.org", "node.example.org.", ONION,
     ONION.upper(), "local.example", "localhost.example.com", "xn--bcher-kva.example", "1.example", "a-b.c_d.example"],
)  # fmt: skip
def test_found_b5_what_may_be_far_away_is_looked_up_or_dialled(host: str) -> None:
    assert addresses.objection(f"{host}:9735") == ""


class TestDialling:
    """What is passed to the node is what was looked at."""

    @pytest.fixture(autouse=True)
    def only_the_internet(self, settings: Any) -> None:
        settings.DIAL_PRIVATE_ADDRESSES = False

    @staticmethod
    def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str] | Exception) -> None:
        left = list(answers)

        def look_up(name: str, port: None, **_: Any) -> Any:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return [(0, 0, 0, "", (text, 0)) for text in answer]

        monkeypatch.setattr("socket.getaddrinfo", look_up)

    @pytest.mark.parametrize(
        ("host", "dialled"),
        [
            ("8.8.8.8:1", "8.8.8.8:1"),
            ("134744072:9735", "8.8.8.8:9735"),
            ("010.8.8.8:9735", "8.8.8.8:9735"),
            ("[2606:4700:0::1111]:9735", "[2606:4700::1111]:9735"),
            (f"{ONION.upper()}:9735", f"{ONION}:9735"),
        ],
    )
    def test_found_b5_an_address_is_dialled_as_it_was_understood(self, host: str, dialled: str) -> None:
        assert dialling.dialable(host) == dialled

    @pytest.mark.parametrize(
        ("answers", "dialled"),
        [
            (["8.8.8.8"], "8.8.8.8:9735"),
            (["2606:4700::1111", "8.8.8.8"], "8.8.8.8:9735"),  # as lnd itself prefers
            (["2606:4700::1111"], "[2606:4700::1111]:9735"),
            (["10.0.0.1", "8.8.8.8"], "8.8.8.8:9735"),
            (["fe80::1%eth0", "8.8.8.8"], "8.8.8.8:9735"),
        ],
    )
    def test_found_b5_of_a_name_an_address_is_dialled_and_never_the_name(
        self, monkeypatch: pytest.MonkeyPatch, answers: list[str], dialled: str
    ) -> None:
        """Else whoever answers for the name answers us with one address, and the node with another."""
        self.names(monkeypatch, answers, ["127.0.0.1"])
        assert dialling.dialable("node.example.org:9735") == dialled

    @pytest.mark.parametrize(
        "answer",
        [["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1", "::1"], ["64:ff9b::a00:1"], OSError("no such host"),
         UnicodeError("label too long")],
    )  # fmt: skip
    def test_found_b5_a_name_that_leads_home_or_nowhere_is_not_dialled(
        self, monkeypatch: pytest.MonkeyPatch, answer: Any
    ) -> None:
        self.names(monkeypatch, answer)
        with pytest.raises(PeerOffline) as caught:
            dialling.dialable("node.example.org:9735")
        assert caught.value.reason == "PEER_NOT_REACHABLE" and "node.example.org" in str(caught.value)

    def test_found_b5_a_name_that_nobody_answers_for_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        release = threading.Event()
        monkeypatch.setattr(dialling, "RESOLVE_SECONDS", 0.05)
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: release.wait(10) and [])
        with pytest.raises(PeerOffline, match="no answer in time"):
            dialling.dialable("node.example.org:9735")
        release.set()

    @pytest.mark.parametrize("host", ["127.0.0.1:9735", "localhost:9735", "node:1", "[::1]:9735", "0x7f.1:10009"])
    def test_found_b5_what_is_near_is_dialled_where_the_settings_allow_it(
        self, monkeypatch: pytest.MonkeyPatch, settings: Any, host: str
    ) -> None:
        self.names(monkeypatch)
        with pytest.raises(PeerOffline):
            dialling.dialable(host)
        settings.DIAL_PRIVATE_ADDRESSES = True
        assert dialling.dialable(host) == host
