"""Our own transactions and PSBTs, read and drafted; addresses, checked; the conflict that puts a funding out.

The only importer of bitcoinlib and embit. bitcoinlib knows no PSBT and no network of a bech32 address, so
PSBTs and addresses are embit's; a signed transaction is read by both, and both have to agree.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from embit import base58, bech32
from embit.psbt import PSBT, InputScope
from embit.script import Script, Witness
from embit.transaction import SIGHASH, TransactionInput, TransactionOutput
from embit.transaction import Transaction as EmbitTransaction

from lightning.types import Outpoint, Transaction

#: BIP 125: another version of the transaction may still take its place.
_REPLACEABLE = 0xFFFFFFFD
#: Smaller outputs than the largest dust limit of the types we pay are not relayed.
_DUST_SAT = 546

# Reading


def read_psbt(psbt: bytes) -> Transaction:
    """The unsigned transaction inside; its txid is already final, and `vbytes` what it will be at most.

    Raises: ValueError when it is no PSBT, or an input is not native segwit: its txid would still change.
    """
    parsed = _parsed_psbt(psbt)
    unsigned = parsed.tx
    base = len(unsigned.serialize())
    witnesses = sum(_witness_weight(each) for each in parsed.inputs)
    return _transaction(unsigned, _vbytes(4 * base + 2 + witnesses))


def psbt_input_values(psbt: bytes) -> int:
    """What the inputs bring in, in satoshis. Raises: ValueError when one does not say."""
    return sum(_spent(each).value for each in _parsed_psbt(psbt).inputs)


def read_transaction(raw: bytes) -> Transaction:
    """One of our own transactions, as its bytes say.

    Never for a stranger's: bitcoinlib refuses some that are valid.
    Raises: ValueError when it cannot be read, or the two libraries read different things.
    """
    try:
        parsed = EmbitTransaction.parse(raw)
    except Exception as error:  # embit raises whatever its reading runs into
        raise ValueError("Not a transaction.") from error
    if parsed.serialize() != raw:
        raise ValueError("Not a transaction: bytes are left over.")
    stripped = EmbitTransaction(parsed.version, [_bare(vin) for vin in parsed.vin], parsed.vout, parsed.locktime)
    weight = 3 * len(stripped.serialize()) + len(raw)
    signed = bool(parsed.vin) and all(vin.witness and vin.witness.items for vin in parsed.vin)
    found = _transaction(parsed, _vbytes(weight), every_input_has_witness=signed)
    _require_agreement(raw, found)
    return found


def _parsed_psbt(psbt: bytes) -> PSBT:
    try:
        return PSBT.parse(psbt)
    except Exception as error:  # embit raises whatever its reading runs into
        raise ValueError("Not a PSBT.") from error


def _transaction(parsed: EmbitTransaction, vbytes: int, *, every_input_has_witness: bool = False) -> Transaction:
    return Transaction(
        txid=parsed.txid().hex(),
        inputs=tuple(Outpoint(vin.txid.hex(), vin.vout) for vin in parsed.vin),
        outputs=tuple((vout.script_pubkey.data.hex(), vout.value) for vout in parsed.vout),
        vbytes=vbytes,
        every_input_has_witness=every_input_has_witness,
    )


def _bare(vin: TransactionInput) -> TransactionInput:
    return TransactionInput(vin.txid, vin.vout, vin.script_sig, vin.sequence, Witness([]))


def _vbytes(weight: int) -> int:
    return -(-weight // 4)


def _spent(each: InputScope) -> TransactionOutput:
    if each.witness_utxo is None:
        raise ValueError("An input of the PSBT does not say what it spends.")
    return each.witness_utxo


def _witness_weight(each: InputScope) -> int:
    """The most that an input's signature weighs."""
    script = _spent(each).script_pubkey.data
    if len(script) == 22 and script[:2] == b"\x00\x14":
        return 1 + 1 + 72 + 1 + 33  # P2WPKH: count, signature, key
    if _is_p2tr(script):
        return 1 + 1 + 65  # P2TR by its key: count, signature with its hash type
    raise ValueError("An input of the PSBT is neither P2WPKH nor P2TR.")


def _is_p2tr(script: bytes) -> bool:
    return len(script) == 34 and script[:2] == b"\x51\x20"


def _require_agreement(raw: bytes, found: Transaction) -> None:
    """Bitcoinlib reads the same. Raises: ValueError."""
    library = _bitcoinlib()
    try:
        other = library.Transaction.parse(raw, strict=False)
    except Exception:  # noqa: BLE001  # it chokes on some valid witnesses, in many ways; then embit's reading stands
        logging.getLogger(__name__).warning("bitcoinlib cannot read transaction %s", found.txid)
        return
    inputs = tuple(Outpoint(each.prev_txid.hex(), each.output_n_int) for each in other.inputs)
    outputs = tuple((each.lock_script.hex(), each.value) for each in other.outputs)
    if (other.txid, inputs, outputs) != (found.txid, found.inputs, found.outputs):
        raise ValueError("Two libraries read the transaction differently.")


@cache
def _bitcoinlib() -> Any:
    """Bitcoinlib's transactions, imported when first needed.

    Not at the top: importing takes more than a second and 50 MB, which most processes can do without, and
    it writes files at once, by default into the home folder, which may be read-only.
    """
    home = getattr(settings, "LSP_HOME", None) if settings.configured else None
    folder = Path(home or tempfile.gettempdir()) / "bitcoinlib"
    # Its only way to be told; an environment that already says so is respected.
    os.environ.setdefault("BCL_DATA_DIR", str(folder))
    from bitcoinlib import transactions

    # It would log into a file of its own, and warns of every taproot input although it reads what we compare.
    log = logging.getLogger("bitcoinlib")
    log.handlers.clear()
    log.setLevel(logging.ERROR)
    return transactions


# Addresses

_BECH32_PREFIX = {"mainnet": "bc", "testnet": "tb", "signet": "tb", "regtest": "bcrt"}
_P2PKH_VERSION = {"mainnet": 0x00, "testnet": 0x6F, "signet": 0x6F, "regtest": 0x6F}
_P2SH_VERSION = {"mainnet": 0x05, "testnet": 0xC4, "signet": 0xC4, "regtest": 0xC4}
#: (witness version, bytes of the program): P2WPKH, P2WSH, P2TR.
_WITNESS_TYPES = frozenset({(0, 20), (0, 32), (1, 32)})


def check_address(address: str, network: str) -> None:
    """`address` can be paid on `network` (mainnet, testnet, signet or regtest).

    Raises: ValueError with a sentence for whoever typed it.
    """
    if network not in _BECH32_PREFIX:
        raise ValueError(f"There is no network called {network}.")
    if not any(_script(address, each) for each in _BECH32_PREFIX):
        raise ValueError("This is not a Bitcoin address we can pay: it is mistyped, or of an unknown kind.")
    if not _script(address, network):
        raise ValueError(f"This address is not for {network}.")


def address_script(address: str) -> str:
    """The output script (hex) that pays `address`, of whatever network. Raises: ValueError."""
    for network in _BECH32_PREFIX:
        if script := _script(address, network):
            return script.hex()
    raise ValueError("This is not a Bitcoin address we can pay.")


def script_address(script: str, network: str) -> str:
    """The address of `network` that the output script (hex) pays; "" where it is of a kind that has none."""
    raw = bytes.fromhex(script)
    address = _segwit_address(raw, network) or _base58_address(raw, network)
    return address if address and _script(address, network) == raw else ""


def _segwit_address(raw: bytes, network: str) -> str:
    if not 4 <= len(raw) <= 42 or raw[1] != len(raw) - 2:
        return ""
    version = raw[0] - 0x50 if raw[0] else 0
    return (bech32.encode(_BECH32_PREFIX[network], version, raw[2:]) or "") if 0 <= version <= 16 else ""


def _base58_address(raw: bytes, network: str) -> str:
    if len(raw) == 25 and raw[:3] == b"\x76\xa9\x14":
        return str(base58.encode_check(bytes((_P2PKH_VERSION[network],)) + raw[3:23]))
    if len(raw) == 23 and raw[:2] == b"\xa9\x14":
        return str(base58.encode_check(bytes((_P2SH_VERSION[network],)) + raw[2:22]))
    return ""


def _script(address: str, network: str) -> bytes:
    """Empty where it is no address of this network."""
    return _segwit_script(address, network) or _base58_script(address, network)


def _segwit_script(address: str, network: str) -> bytes:
    version, program = bech32.decode(_BECH32_PREFIX[network], address)
    if program is None or (version, len(program)) not in _WITNESS_TYPES:
        return b""
    opcode = 0x50 + version if version else 0
    return bytes((opcode, len(program), *program))


def _base58_script(address: str, network: str) -> bytes:
    try:
        data = base58.decode_check(address)
    except ValueError:
        return b""
    if len(data) != 21:
        return b""
    version, hash160 = data[0], data[1:]
    p2pkh: bytes = b"\x76\xa9\x14" + hash160 + b"\x88\xac"
    p2sh: bytes = b"\xa9\x14" + hash160 + b"\x87"
    return {_P2PKH_VERSION[network]: p2pkh, _P2SH_VERSION[network]: p2sh}.get(version, b"")


# Our own


def template_psbt(inputs: Iterable[Outpoint], *, address: str, amount_sat: int) -> bytes:
    """A PSBT that spends these coins and pays `address`; whoever funds it adds the change.

    Nobody can replace it, as with coins of the node's own choice. Raises: ValueError when the address is none.
    """
    spends = [TransactionInput(bytes.fromhex(each.txid), each.index) for each in inputs]
    pays = TransactionOutput(amount_sat, Script(bytes.fromhex(address_script(address))))
    packed: bytes = PSBT(EmbitTransaction(version=2, vin=spends, vout=[pays])).serialize()
    return packed


def own_psbt(spends: Iterable[tuple[Outpoint, str, int]], pays: Iterable[tuple[str, int]]) -> bytes:
    """A PSBT that spends these coins (each with its address and amount) and pays these addresses, replaceable.

    Raises: ValueError when an address is none, or an amount would not be relayed.
    """
    coins, paid = list(spends), list(pays)
    if any(amount_sat < _DUST_SAT for _, amount_sat in paid):
        raise ValueError("An output is too small to be relayed.")
    vin = [TransactionInput(bytes.fromhex(coin.txid), coin.index, sequence=_REPLACEABLE) for coin, _, _ in coins]
    vout = [TransactionOutput(sat, Script(bytes.fromhex(address_script(address)))) for address, sat in paid]
    psbt = PSBT(EmbitTransaction(version=2, vin=vin, vout=vout))
    for scope, (_, address, amount_sat) in zip(psbt.inputs, coins, strict=True):
        _say_what_is_spent(scope, bytes.fromhex(address_script(address)), amount_sat)
    packed: bytes = psbt.serialize()
    return packed


def with_output(psbt: bytes, index: int, amount_sat: int) -> bytes:
    """The same unsigned transaction with another amount in one of its outputs: what it spends stays.

    Raises: ValueError when it is no PSBT, or the amount would not be relayed.
    """
    if amount_sat < _DUST_SAT:
        raise ValueError("An output is too small to be relayed.")
    parsed = _parsed_psbt(psbt)
    unsigned = parsed.tx
    unsigned.vout[index] = TransactionOutput(amount_sat, unsigned.vout[index].script_pubkey)
    changed = PSBT(unsigned)
    for scope, before in zip(changed.inputs, parsed.inputs, strict=True):
        spent = _spent(before)
        _say_what_is_spent(scope, spent.script_pubkey.data, spent.value)
    packed: bytes = changed.serialize()
    return packed


def _say_what_is_spent(scope: InputScope, pk_script: bytes, amount_sat: int) -> None:
    scope.witness_utxo = TransactionOutput(amount_sat, Script(pk_script))
    if not _is_p2tr(pk_script):
        # LND signs with what stands here; without it with the default that only taproot has.
        scope.sighash_type = SIGHASH.ALL


def conflict_psbt(outpoint: Outpoint, *, pk_script: bytes, amount_sat: int, to_address: str, fee_sat: int) -> bytes:
    """A PSBT that spends the one coin back to `to_address`, replaceable.

    Money: once it confirms, no other transaction that spends `outpoint` ever can.
    Raises: ValueError when too little would be left, or the address is none.
    """
    left_sat = amount_sat - fee_sat
    if fee_sat < 0 or left_sat < _DUST_SAT:
        raise ValueError("The coin does not cover the fee.")
    spend = TransactionInput(bytes.fromhex(outpoint.txid), outpoint.index, sequence=_REPLACEABLE)
    back = TransactionOutput(left_sat, Script(bytes.fromhex(address_script(to_address))))
    psbt = PSBT(EmbitTransaction(version=2, vin=[spend], vout=[back]))
    _say_what_is_spent(psbt.inputs[0], pk_script, amount_sat)
    packed: bytes = psbt.serialize()
    return packed
