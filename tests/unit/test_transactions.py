"""What we read from transactions decides what we sign, and where money goes; addresses, that it arrives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from embit.psbt import PSBT

from lightning import transactions
from lightning.transactions import (
    address_script,
    check_address,
    conflict_psbt,
    psbt_input_values,
    read_psbt,
    read_transaction,
    script_address,
    template_psbt,
)
from lightning.types import Outpoint

# One funding of 500,000 sat as a node on regtest made it, before and after signing.
FUNDED = bytes.fromhex(
    "70736274ff01007d0200000001b6d0f3a272008e21c57c611cd82278e123955c8901563a96c3ef98d2e136d6330000000000ffffffff02"
    "20a10700000000002200201554d9d2416a278c61ed483f333a93b76871e2e4765e80f0bcb50602fecc661fae1fe40b000000001600148a"
    "54e2256e827097f4d0ae53d7ed9705b6f8110b00000000000100fd3c010200000000010167f1e4252ba2fcfde594f8db40e43fa90f893f"
    "7119291790ff5bc26a8a10cb850000000000ffffffff0800c2eb0b0000000016001470e28d032e6512166eb9e5e3ee26b38c0569f17400"
    "c2eb0b000000001600148e44fabe4e700e330e9cc6fdd3bee15d85c8d60e00c2eb0b00000000160014c65271c573443e96e4be9e4dc511"
    "9d436c8429e900c2eb0b00000000160014af26d943d43029b757bba505fd421ae5eda0f13500c2eb0b00000000160014fb693a4f67826a"
    "1be62138573476375a68bb679100c2eb0b000000001600146971246b42e0fca9c008faf593e38914429c9c9600c2eb0b00000000160014"
    "7ea2dba342a1135ef509cd3f1c481081b99293b3601d92d6000000002200204ae81572f06e1b88fd5ced7a1a000945432e83e1551e6f72"
    "1ee9c00b8cc332600101510000000001011f00c2eb0b0000000016001470e28d032e6512166eb9e5e3ee26b38c0569f174010304010000"
    "0022060333c751a8e12b081f362386676c9185f10f4a2ee96e8f99f19a62b941900c8bea18000000005400008000000080000000800000"
    "0000000000000000220203e81bbab9bb325cd8df43448d4f64a6e17bc6630e85f0a7a25356720469386a1b180000000054000080000000"
    "8000000080010000000000000000"
)
SIGNED = bytes.fromhex(
    "02000000000101b6d0f3a272008e21c57c611cd82278e123955c8901563a96c3ef98d2e136d6330000000000ffffffff0220a107000000"
    "00002200201554d9d2416a278c61ed483f333a93b76871e2e4765e80f0bcb50602fecc661fae1fe40b000000001600148a54e2256e8270"
    "97f4d0ae53d7ed9705b6f8110b024730440220456a2fae22925a3a3cde83e4e20abee87a33308c7e097be16a21e3b23839460802207826"
    "b5869e2114f7c849cec3897cc2a0e27c2f8b820c83570712e374926cf8bb01210333c751a8e12b081f362386676c9185f10f4a2ee96e8f"
    "99f19a62b941900c8bea00000000"
)

TXID = "dd23ba034c865f92b03ffa71dd271689582dae5c2ccb97d5611e1fa3ddfbdb24"
SPENT = Outpoint("33d636e1d298efc3963a5601895c9523e17822d81c617cc5218e0072a2f3d0b6", 0)
PAYS = ("00201554d9d2416a278c61ed483f333a93b76871e2e4765e80f0bcb50602fecc661f", 500_000)
CHANGE = ("00148a54e2256e827097f4d0ae53d7ed9705b6f8110b", 199_499_694)

P2WPKH = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")
P2TR = bytes.fromhex("5120" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
REGTEST = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

# Reading


def test_the_txid_of_a_psbt_is_that_of_the_signed_transaction():
    assert read_psbt(FUNDED).txid == read_transaction(SIGNED).txid == TXID


@pytest.mark.parametrize(("read", "data"), [(read_psbt, FUNDED), (read_transaction, SIGNED)])
def test_inputs_and_outputs_are_read(read, data):
    found = read(data)
    assert found.inputs == (SPENT,)
    assert found.outputs == (PAYS, CHANGE)


def test_the_size_of_a_psbt_is_never_under_that_of_the_signed_transaction():
    unsigned, signed = read_psbt(FUNDED), read_transaction(SIGNED)
    assert signed.vbytes == 153
    assert signed.vbytes <= unsigned.vbytes <= signed.vbytes + 1


def test_the_values_of_the_inputs_are_read():
    assert psbt_input_values(FUNDED) == 200_000_000


def test_only_a_signed_transaction_has_all_witnesses():
    unsigned = PSBT.parse(FUNDED).tx.serialize()
    assert read_transaction(SIGNED).every_input_has_witness
    assert not read_transaction(unsigned).every_input_has_witness
    assert not read_psbt(FUNDED).every_input_has_witness


@pytest.mark.parametrize("data", [b"", b"psbt\xff", SIGNED, FUNDED[:-5]])
def test_what_is_no_psbt_is_refused(data):
    with pytest.raises(ValueError):
        read_psbt(data)


@pytest.mark.parametrize("data", [b"", FUNDED, SIGNED[:-1], SIGNED + b"\x00"])
def test_what_is_no_transaction_is_refused(data):
    with pytest.raises(ValueError):
        read_transaction(data)


def test_a_nested_input_is_refused_since_its_txid_is_not_final():
    nested = bytes.fromhex("a914" + "11" * 20 + "87")
    psbt = conflict_psbt(SPENT, pk_script=nested, amount_sat=10_000, to_address=REGTEST, fee_sat=500)
    with pytest.raises(ValueError, match="neither P2WPKH nor P2TR"):
        read_psbt(psbt)


def test_a_template_names_its_coins_and_what_it_pays_and_cannot_be_replaced():
    other = Outpoint("ab" * 32, 3)
    psbt = PSBT.parse(template_psbt([SPENT, other], address=REGTEST, amount_sat=500_000))
    assert [(vin.txid.hex(), vin.vout, vin.sequence) for vin in psbt.tx.vin] == [
        (SPENT.txid, SPENT.index, 0xFFFFFFFF),
        (other.txid, other.index, 0xFFFFFFFF),
    ]
    assert [(vout.script_pubkey.data, vout.value) for vout in psbt.tx.vout] == [(P2WPKH, 500_000)]


def test_an_input_that_does_not_say_its_value_is_refused():
    psbt = PSBT.parse(FUNDED)
    psbt.inputs[0].witness_utxo = None
    for read in (read_psbt, psbt_input_values):
        with pytest.raises(ValueError, match="does not say what it spends"):
            read(psbt.serialize())


def test_two_libraries_that_disagree_are_not_believed(monkeypatch):
    real = transactions._bitcoinlib().Transaction.parse(SIGNED, strict=False)
    real.outputs[0].value += 1

    class Lying:
        class Transaction:
            parse = staticmethod(lambda raw, strict: real)

    monkeypatch.setattr(transactions, "_bitcoinlib", lambda: Lying)
    with pytest.raises(ValueError, match="differently"):
        read_transaction(SIGNED)


def test_a_transaction_that_bitcoinlib_cannot_read_is_read_all_the_same(monkeypatch):
    class Choking:
        class Transaction:
            @staticmethod
            def parse(raw, strict):
                raise IndexError

    monkeypatch.setattr(transactions, "_bitcoinlib", lambda: Choking)
    assert read_transaction(SIGNED).txid == TXID


def test_reading_writes_nothing_into_the_home_folder(tmp_path):
    code = "from lightning.transactions import _bitcoinlib as load; load()"
    environment = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "t"), "PATH": os.environ["PATH"]}
    (tmp_path / "t").mkdir()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


# The conflict


@pytest.mark.parametrize(("script", "vbytes"), [(P2WPKH, 110), (P2TR, 100)])
def test_a_conflict_takes_the_coin_back_and_can_be_replaced(script, vbytes):
    psbt = conflict_psbt(SPENT, pk_script=script, amount_sat=10_000, to_address=REGTEST, fee_sat=500)
    found = read_psbt(psbt)
    assert (found.inputs, found.outputs, found.vbytes) == ((SPENT,), ((P2WPKH.hex(), 9_500),), vbytes)
    assert psbt_input_values(psbt) == 10_000
    assert PSBT.parse(psbt).tx.vin[0].sequence < 0xFFFFFFFE


@pytest.mark.parametrize("fee_sat", [-1, 10_000, 9_455])
def test_a_conflict_that_leaves_nothing_is_refused(fee_sat):
    with pytest.raises(ValueError, match="does not cover"):
        conflict_psbt(SPENT, pk_script=P2WPKH, amount_sat=10_000, to_address=REGTEST, fee_sat=fee_sat)


# Addresses: those with a known script are of BIP 173 and BIP 350

VALID = [
    ("mainnet", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", P2WPKH.hex()),
    ("mainnet", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", P2WPKH.hex()),
    ("testnet", "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx", P2WPKH.hex()),
    ("regtest", REGTEST, P2WPKH.hex()),
    (
        "testnet",
        "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
        "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
    ),
    ("mainnet", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", P2TR.hex()),
    (
        "testnet",
        "tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c",
        "5120000000c4a5cad46221b2a187905e5266362b99d5e91c6ce24d165dab93e86433",
    ),
    ("mainnet", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
    ("mainnet", "3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "a914e9c3dd0c07aac76179ebc76a6c78d4d67c6c160a87"),
    ("testnet", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "76a914243f1394f44554f4ce3fd68649c19adc483ce92488ac"),
    ("testnet", "2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", "a9144e9f39ca4688ff102128ea4ccda34105324305b087"),
]
#: Networks that share their addresses.
ALSO = {"mainnet": {"mainnet"}, "testnet": {"testnet", "signet"}, "regtest": {"regtest"}}

INVALID = [
    "",
    " ",
    "bc1",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",  # checksum
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kV8f3t4",  # mixed case
    "tc1qw508d6qejxtdg4y5r3zarvary0c5xw7kg3g4ty",  # no such prefix
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",  # bech32 where bech32m is due
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",  # bech32m where bech32 is due
    "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",  # valid, but 40 bytes
    "BC1SW50QGDZ25J",  # valid, but of a version nobody can use yet
    "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",  # 16 bytes
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",  # checksum
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7Div",
    "LM2WMpR1Rp6j3Sa59cMXMs1SPzj9eXpGc1",  # another coin
    "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",  # a private key
    "bitcoin:bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "é",
]


@pytest.mark.parametrize(("network", "address", "script"), VALID)
def test_an_address_is_good_on_its_own_network_only(network, address, script):
    assert address_script(address) == script
    for other in ("mainnet", "testnet", "signet", "regtest"):
        shares = other in ALSO[network] or (address[0] in "mn2" and other == "regtest")
        if shares:
            check_address(address, other)
        else:
            with pytest.raises(ValueError, match=f"not for {other}"):
                check_address(address, other)


@pytest.mark.parametrize(("network", "address", "script"), VALID)
def test_a_script_is_the_address_that_it_was_read_of(network, address, script):
    assert script_address(script, network).lower() == address.lower()


@pytest.mark.parametrize(
    "script", ["", "6a", "6a0461626364", "51" * 35, "76a914", "0014ab", "00" * 22, "21" + "02" * 33 + "ac"]
)
def test_a_script_that_has_no_address_is_said_to_have_none(script):
    assert script_address(script, "mainnet") == ""


@pytest.mark.parametrize("address", INVALID)
def test_what_is_no_address_is_refused_everywhere(address):
    for network in ("mainnet", "testnet", "signet", "regtest"):
        with pytest.raises(ValueError, match="not a Bitcoin address"):
            check_address(address, network)
    with pytest.raises(ValueError):
        address_script(address)


def test_a_network_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no network"):
        check_address(REGTEST, "simnet")


@pytest.mark.parametrize(("network", "address", "script"), [case for case in VALID if case[0] == "mainnet"])
def test_bitcoinlib_finds_the_same_script(network, address, script):
    output = transactions._bitcoinlib().Output(1000, address=address.lower() if address[:2] == "BC" else address)
    assert output.lock_script.hex() == script
