"""Who we are to the node: secrets are read when they change, and shown nowhere."""

from __future__ import annotations

import os

import pytest

from lightning.credentials import LOCAL, Credentials, required_methods
from lightning.errors import NodeUnavailable

HEX = "0201" + "ab" * 40


def test_a_macaroon_is_given_as_hex_or_as_a_path(tmp_path):
    path = tmp_path / "lsp.macaroon"
    path.write_bytes(bytes.fromhex(HEX))
    for macaroon in (HEX, str(path)):
        assert Credentials("host:1", macaroon=macaroon).metadata() == (("macaroon", HEX),)


def test_a_replaced_macaroon_is_read_again(tmp_path):
    path = tmp_path / "lsp.macaroon"
    path.write_bytes(b"old")
    credentials = Credentials("host:1", macaroon=str(path))
    assert credentials.metadata() == (("macaroon", b"old".hex()),)
    path.write_bytes(b"new")
    os.utime(path, (1, 1))  # another time, whatever the file system's clock can tell apart
    assert credentials.metadata() == (("macaroon", b"new".hex()),)


def test_a_missing_macaroon_means_that_nothing_was_sent(tmp_path):
    with pytest.raises(NodeUnavailable) as caught:
        Credentials("host:1", macaroon=str(tmp_path / "none")).metadata()
    assert caught.value.reason == "MACAROON_UNREADABLE"


def test_a_missing_certificate_means_that_nothing_was_sent(tmp_path):
    with pytest.raises(NodeUnavailable) as caught:
        Credentials("host:1", tls_cert=str(tmp_path / "none")).channel_credentials()
    assert caught.value.reason == "CERTIFICATE_UNREADABLE"


def test_the_macaroon_shows_in_no_repr():
    assert HEX not in repr(Credentials("host:1", macaroon=HEX))


@pytest.mark.parametrize("tls_cert", ["", LOCAL])
def test_without_a_certificate_file_nothing_can_change(tls_cert):
    credentials = Credentials("host:1", tls_cert=tls_cert)
    assert credentials.certificate_changed_at() == 0
    credentials.channel_credentials()


def test_we_ask_for_what_we_call_and_never_for_more_macaroons():
    methods = required_methods()
    assert "/invoicesrpc.Invoices/SettleInvoice" in methods
    assert "/chainrpc.ChainNotifier/RegisterBlockEpochNtfn" in methods
    assert "/walletrpc.WalletKit/FundPsbt" in methods
    assert not [method for method in methods if method.endswith(("BakeMacaroon", "SendCoins", "OpenChannelSync"))]
