"""Real scripts, keys and signatures: everything about a transaction that does not depend on the chain."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from embit import ec, script
from embit.networks import NETWORKS
from embit.psbt import PSBT
from embit.script import Script, Witness
from embit.transaction import SIGHASH, TransactionInput, TransactionOutput
from embit.transaction import Transaction as EmbitTransaction

from lightning.transactions import address_script, check_address

NETWORK = "regtest"
#: Nobody can replace a transaction with this sequence; anybody one with less.
FINAL_SEQUENCE = 0xFFFFFFFF
REPLACEABLE_SEQUENCE = 0xFFFFFFFD

#: An output: its transaction's id and its index.
Point = tuple[str, int]
#: What an output is: its script and its satoshis.
Output = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Tx:
    """One transaction, read."""

    txid: str
    raw: bytes
    inputs: tuple[Point, ...]
    outputs: tuple[Output, ...]
    vbytes: int
    is_replaceable: bool

    @property
    def paid_out_sat(self) -> int:
        """All outputs together."""
        return sum(amount_sat for _, amount_sat in self.outputs)


def read(raw: bytes) -> Tx:
    """Raises: ValueError when it is no transaction."""
    parsed = _parse(raw)
    bare = EmbitTransaction(
        parsed.version,
        [TransactionInput(vin.txid, vin.vout, vin.script_sig, vin.sequence) for vin in parsed.vin],
        parsed.vout,
        parsed.locktime,
    )
    weight = 3 * len(bare.serialize()) + len(raw)
    return Tx(
        txid=parsed.txid().hex(),
        raw=raw,
        inputs=tuple((vin.txid.hex(), vin.vout) for vin in parsed.vin),
        outputs=tuple((vout.script_pubkey.data, vout.value) for vout in parsed.vout),
        vbytes=-(-weight // 4),
        is_replaceable=any(vin.sequence < FINAL_SEQUENCE - 1 for vin in parsed.vin),
    )


def _parse(raw: bytes) -> Any:
    try:
        parsed = EmbitTransaction.parse(raw)
    except Exception as error:  # embit raises whatever its reading runs into
        raise ValueError("unexpected EOF") from error
    if parsed.serialize() != raw:
        raise ValueError("trailing bytes")
    return parsed


def build(inputs: Sequence[Point], outputs: Sequence[Output], sequence: int = FINAL_SEQUENCE) -> Any:
    """An unsigned transaction, as embit's."""
    return EmbitTransaction(
        version=2,
        vin=[TransactionInput(bytes.fromhex(txid), index, sequence=sequence) for txid, index in inputs],
        vout=[TransactionOutput(amount_sat, Script(pk_script)) for pk_script, amount_sat in outputs],
    )


# Keys and addresses


@lru_cache(maxsize=4096)
def key(seed: bytes, name: str) -> Any:
    """The private key of this name: the same seed gives the same keys for ever."""
    return ec.PrivateKey(hmac.new(seed, name.encode(), hashlib.sha256).digest())


def pubkey(private: Any) -> str:
    """The compressed public key, in hex."""
    return str(private.sec().hex())


def p2wpkh(private: Any) -> bytes:
    """The script of the key's native segwit address."""
    return bytes(script.p2wpkh(private.get_public_key()).data)


def p2tr(private: Any) -> bytes:
    """The script of the key's taproot address, to be spent by the key alone."""
    return bytes(script.p2tr(private.get_public_key()).data)


def nested(private: Any) -> bytes:
    """The script of the key's native segwit script inside of P2SH."""
    return bytes(script.p2sh(Script(p2wpkh(private))).data)


def two_of_two(one: Any, other: Any) -> tuple[bytes, bytes]:
    """A channel's funding output: its script, and the witness script behind that."""
    keys = sorted((one.get_public_key(), other.get_public_key()), key=lambda each: each.sec())
    inner = script.multisig(2, keys)
    return bytes(script.p2wsh(inner).data), bytes(inner.data)


@lru_cache(maxsize=65536)  # a deposit in hundreds of outputs is listed again and again
def address(pk_script: bytes) -> str:
    """The address that pays the script; empty where none does."""
    try:
        return str(Script(pk_script).address(NETWORKS[NETWORK]))
    except Exception:  # noqa: BLE001  # embit raises what its reading runs into: a script without an address
        return ""


@lru_cache(maxsize=4096)
def script_of(text: str) -> bytes:
    """The script that the address pays. Raises: ValueError."""
    check_address(text, NETWORK)
    return bytes.fromhex(address_script(text))


def is_p2wpkh(pk_script: bytes) -> bool:
    """The script is native segwit's, for one key."""
    return len(pk_script) == 22 and pk_script[:2] == b"\x00\x14"


def is_p2tr(pk_script: bytes) -> bool:
    """The script is taproot's."""
    return len(pk_script) == 34 and pk_script[:2] == b"\x51\x20"


def is_nested(pk_script: bytes) -> bool:
    """The script is P2SH's: of ours, with native segwit inside."""
    return len(pk_script) == 23 and pk_script[:2] == b"\xa9\x14"


# Signatures


def witness(unsigned: Any, index: int, spent: Sequence[Output], private: Any) -> list[bytes]:
    """What spends the input with its owner's key."""
    pk_script, amount_sat = spent[index]
    if is_p2tr(pk_script):
        digest = _taproot_digest(unsigned, index, spent)
        return [private.taproot_tweak(b"").schnorr_sign(digest).serialize()]
    inner = p2wpkh(private) if is_nested(pk_script) else pk_script
    digest = _segwit_digest(unsigned, index, script.p2pkh_from_p2wpkh(Script(inner)), amount_sat)
    return [_with_hash_type(private.sign(digest)), private.sec()]


def witness_two_of_two(unsigned: Any, index: int, inner: bytes, amount_sat: int, keys: Sequence[Any]) -> list[bytes]:
    """What spends a channel's funding output: both signatures, in the order of the keys."""
    digest = _segwit_digest(unsigned, index, Script(inner), amount_sat)
    in_order = sorted(keys, key=lambda each: each.sec())
    return [b"", *(_with_hash_type(each.sign(digest)) for each in in_order), inner]


def sign(unsigned: Any, spent: Sequence[Output], key_of: Callable[[bytes], Any]) -> bytes:
    """The whole transaction signed with the keys that `key_of` finds for the scripts."""
    for index, (pk_script, _) in enumerate(spent):
        private = key_of(pk_script)
        unsigned.vin[index].witness = Witness(witness(unsigned, index, spent, private))
        if is_nested(pk_script):
            unsigned.vin[index].script_sig = _push(p2wpkh(private))
    return bytes(unsigned.serialize())


def _push(data: bytes) -> Any:
    return Script(bytes([len(data)]) + data)


def is_signed(tx: Tx, spent: Sequence[Output]) -> str:
    """Empty when every input may be spent so; else what is wrong, in the node's words."""
    parsed = _parse(tx.raw)
    for index, (pk_script, amount_sat) in enumerate(spent):
        items = list(parsed.vin[index].witness.items)
        try:
            valid = _is_valid(parsed, index, pk_script, amount_sat, spent, items)
        except Exception:  # noqa: BLE001  # a garbled signature or key fails in embit in many ways
            valid = False
        if not valid:
            txid, output = tx.inputs[index]
            return f"failed to validate input {tx.txid}:{index} which references output {txid}:{output}"
    return ""


def _is_valid(
    parsed: Any, index: int, pk_script: bytes, amount_sat: int, spent: Sequence[Output], items: list[bytes]
) -> bool:
    if is_p2tr(pk_script):
        owner = ec.PublicKey.from_xonly(pk_script[2:])
        return bool(owner.schnorr_verify(ec.SchnorrSig(items[0]), _taproot_digest(parsed, index, spent)))
    if is_nested(pk_script):
        inner = parsed.vin[index].script_sig.data[1:]
        is_its = bytes(script.p2sh(Script(inner)).data) == pk_script and is_p2wpkh(inner)
        return is_its and _is_valid(parsed, index, inner, amount_sat, spent, items)
    if is_p2wpkh(pk_script):
        owner = ec.PublicKey.parse(items[1])
        digest = _segwit_digest(parsed, index, script.p2pkh_from_p2wpkh(Script(pk_script)), amount_sat)
        return bytes(script.p2wpkh(owner).data) == pk_script and _verifies(owner, items[0], digest)
    inner = items[-1]
    digest = _segwit_digest(parsed, index, Script(inner), amount_sat)
    keys = [ec.PublicKey.parse(inner[2:35]), ec.PublicKey.parse(inner[36:69])]
    is_whole = bytes(script.p2wsh(Script(inner)).data) == pk_script and len(items) == 4
    return is_whole and all(_verifies(each, items[1 + n], digest) for n, each in enumerate(keys))


def _verifies(owner: Any, signature: bytes, digest: bytes) -> bool:
    return signature[-1] == SIGHASH.ALL and bool(owner.verify(ec.Signature.parse(signature[:-1]), digest))


def _segwit_digest(parsed: Any, index: int, code: Any, amount_sat: int) -> bytes:
    return bytes(parsed.sighash_segwit(index, code, amount_sat))


def _taproot_digest(parsed: Any, index: int, spent: Sequence[Output]) -> bytes:
    scripts = [Script(pk_script) for pk_script, _ in spent]
    return bytes(parsed.sighash_taproot(index, scripts, [amount_sat for _, amount_sat in spent]))


def _with_hash_type(signature: Any) -> bytes:
    return bytes(signature.serialize()) + bytes([SIGHASH.ALL])


def with_witnesses(unsigned: Any, witnesses: Sequence[list[bytes]]) -> Tx:
    """The transaction with what spends its inputs."""
    for vin, items in zip(unsigned.vin, witnesses, strict=True):
        vin.witness = Witness(items)
    return read(bytes(unsigned.serialize()))


# PSBTs


def make_psbt(unsigned: Any, spent: Sequence[Output]) -> bytes:
    """The unsigned transaction with what it spends."""
    psbt = PSBT(unsigned)
    for each, (pk_script, amount_sat) in zip(psbt.inputs, spent, strict=True):
        each.witness_utxo = TransactionOutput(amount_sat, Script(pk_script))
        each.sighash_type = SIGHASH.DEFAULT if is_p2tr(pk_script) else SIGHASH.ALL
    return bytes(psbt.serialize())


def open_template(data: bytes) -> tuple[list[Output], list[Point]]:
    """What a PSBT pays that nobody has funded yet, and what it spends. Raises: ValueError."""
    tx = _parse_psbt(data).tx
    outputs = [(vout.script_pubkey.data, vout.value) for vout in tx.vout]
    return outputs, [(vin.txid.hex(), vin.vout) for vin in tx.vin]


def open_psbt(data: bytes) -> tuple[Any, list[Output]]:
    """The unsigned transaction inside and what it spends. Raises: ValueError."""
    psbt = _parse_psbt(data)
    if any(each.witness_utxo is None for each in psbt.inputs):
        raise ValueError("cannot finalize PSBT: an input does not say what it spends")
    return psbt.tx, [(each.witness_utxo.script_pubkey.data, each.witness_utxo.value) for each in psbt.inputs]


def _parse_psbt(data: bytes) -> Any:
    try:
        return PSBT.parse(data)
    except Exception as error:  # embit raises whatever its reading runs into
        raise ValueError("unexpected EOF") from error


def finish_psbt(data: bytes, raw: bytes) -> bytes:
    """The same PSBT with the signatures of the signed transaction."""
    psbt = PSBT.parse(data)
    for each, vin in zip(psbt.inputs, EmbitTransaction.parse(raw).vin, strict=True):
        each.final_scriptwitness = vin.witness
        each.final_scriptsig = vin.script_sig if vin.script_sig.data else None
        each.sighash_type = None
    return bytes(psbt.serialize())
