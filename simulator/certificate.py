"""A self-signed certificate for 127.0.0.1 and localhost (X.509, P-256), as LND makes one at its first start."""

from __future__ import annotations

import base64
import ipaddress
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from Crypto.Util.asn1 import DerInteger, DerObjectId

from simulator import files

_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
_COMMON_NAME = "2.5.4.3"
_BASIC_CONSTRAINTS = "2.5.29.19"
_ALTERNATIVE_NAMES = "2.5.29.17"
_LIFETIME = timedelta(days=3650)

# Tags of DER; its own library refuses to write some of them.
_OCTETS, _BITS, _TEXT, _TIME, _SEQUENCE, _SET, _TRUE = 0x04, 0x03, 0x0C, 0x17, 0x30, 0x31, b"\x01\x01\xff"
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_VERSION, _EXTENSIONS = 0xA0, 0xA3


def certificate(home: Path) -> tuple[bytes, bytes]:
    """The key and the certificate (PEM) in `home`, made there when they are missing."""
    key_path, cert_path = home / "tls.key", home / "tls.cert"
    if not (key_path.exists() and cert_path.exists()):
        key_pem, cert_pem = _made()
        files.write(key_path, key_pem)
        files.write(cert_path, cert_pem, secret=False)
    return key_path.read_bytes(), cert_path.read_bytes()


def _made() -> tuple[bytes, bytes]:
    key = ECC.generate(curve="P-256")
    algorithm = _der(_SEQUENCE, _id(_ECDSA_WITH_SHA256))
    body = _body(key, algorithm)
    signature = DSS.new(key, "fips-186-3", encoding="der").sign(SHA256.new(body))
    whole = _der(_SEQUENCE, body, algorithm, _der(_BITS, b"\x00", signature))
    text = base64.encodebytes(whole)
    cert_pem = b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"
    return key.export_key(format="PEM").encode() + b"\n", cert_pem


def _body(key: ECC.EccKey, algorithm: bytes) -> bytes:
    name = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _id(_COMMON_NAME), _der(_TEXT, b"lightning simulator"))))
    now = datetime.now(UTC)
    times = (now - timedelta(days=1), now + _LIFETIME)
    return _der(
        _SEQUENCE,
        _der(_VERSION, _number(2)),
        _number(secrets.randbits(64) | 1),
        algorithm,
        name,
        _der(_SEQUENCE, *(_der(_TIME, f"{each:%y%m%d%H%M%SZ}".encode()) for each in times)),
        name,
        key.public_key().export_key(format="DER"),
        _der(_EXTENSIONS, _der(_SEQUENCE, _may_sign(), _names())),
    )


def _may_sign() -> bytes:
    """The certificate is its own authority: that is what whoever trusts it relies on."""
    return _der(_SEQUENCE, _id(_BASIC_CONSTRAINTS), _TRUE, _der(_OCTETS, _der(_SEQUENCE, _TRUE)))


def _names() -> bytes:
    local = ipaddress.ip_address("127.0.0.1").packed
    names = _der(_SEQUENCE, _der(_DNS_NAME, b"localhost"), _der(_IP_ADDRESS, local))
    return _der(_SEQUENCE, _id(_ALTERNATIVE_NAMES), _der(_OCTETS, names))


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes(-(-size.bit_length() // 8))
    return bytes([tag, 0x80 | len(length)]) + length + content


def _id(dotted: str) -> bytes:
    return bytes(DerObjectId(dotted).encode())


def _number(value: int) -> bytes:
    return bytes(DerInteger(value).encode())
