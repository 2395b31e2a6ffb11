"""The second factor of staff: codes that a program of theirs shows by the clock, and recovery codes for without it.

The algorithm is django-otp's (RFC 6238). Its tables are not used: they keep secrets and recovery codes in the clear.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
import time
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from Crypto.Cipher import AES
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django_otp.oath import TOTP

from lsp_site.models import RecoveryCode, SecondFactor

log = logging.getLogger(__name__)

SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
_STEP_SECONDS: Final = 30
#: A clock may be wrong by so many steps.
_TOLERANCE: Final = 1
_RECOVERY_BYTES: Final = 10
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_SALT: Final = "lsp_site.factors"


class WrongCode(Exception):
    """It is no code of this person's now, or it was used before."""


def is_required() -> bool:
    """Nobody passes without one."""
    return bool(settings.STAFF_MFA == "required")


def factor_of(user: User) -> SecondFactor | None:
    """The person's row, if there is one; StaffBackend has read it with the account."""
    return getattr(user, "second_factor", None)


def is_enrolled(user: User) -> bool:
    """Codes are asked for."""
    factor = factor_of(user)
    return factor is not None and bool(factor.sealed_secret)


def stamp_of(user: User) -> str:
    """What a session has to know; "" where there never was a factor."""
    factor = factor_of(user)
    return factor.stamp if factor is not None else ""


def new_secret() -> bytes:
    """One that nobody has."""
    return secrets.token_bytes(SECRET_BYTES)


def as_text(secret: bytes) -> str:
    """As a person types it into an authenticator."""
    return base64.b32encode(secret).decode()


def uri(secret: bytes, user: User) -> str:
    """What the picture says to an authenticator."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "lsp"
    label = quote(f"LSP {host}:{user.get_username()}", safe=":")
    return f"otpauth://totp/{label}?{urlencode({'secret': as_text(secret), 'issuer': f'LSP {host}'}, quote_via=quote)}"


def sealed(secret: bytes) -> str:
    """Enciphered under SECRET_KEY: a copy of the database alone gives no code."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    text, tag = AES.new(_sealing_key(), AES.MODE_GCM, nonce=nonce).encrypt_and_digest(secret)
    return base64.b64encode(nonce + tag + text).decode()


def unsealed(text: str) -> bytes | None:
    """None: it was sealed under another key, or it is none."""
    try:
        raw = base64.b64decode(text)
        nonce, tag, rest = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:][:_TAG_BYTES], raw[_NONCE_BYTES + _TAG_BYTES :]
        return bytes(AES.new(_sealing_key(), AES.MODE_GCM, nonce=nonce).decrypt_and_verify(rest, tag))
    except ValueError:
        return None


def _sealing_key() -> bytes:
    return salted_hmac(f"{_SALT}.seal", "", algorithm="sha256").digest()


def step_of(secret: bytes, typed: str, *, after: int = 0) -> int | None:
    """The time step that has this code, if it is one of now and none up to `after`."""
    if len(typed) != 6 or not (typed.isascii() and typed.isdigit()):
        return None
    totp = TOTP(secret, _STEP_SECONDS)
    totp.time = time.time()
    now = totp.t()
    for step in range(max(now - _TOLERANCE, after + 1), now + _TOLERANCE + 1):
        totp.drift = step - now
        if hmac.compare_digest(f"{totp.token():06}", typed):
            return step
    return None


@transaction.atomic
def enrol(user: User, secret: bytes, typed: str) -> list[str]:
    """The person's factor is this secret, and no session but who has done it is logged in any more.

    Returns the recovery codes, which are nowhere else. Raises: WrongCode.
    """
    step = step_of(secret, _plain(typed))
    if step is None:
        raise WrongCode
    factor = _changed(user)
    factor.sealed_secret, factor.enrolled_at, factor.last_step = sealed(secret), timezone.now(), step
    factor.save()
    return _renewed(factor)


@transaction.atomic
def check(user: User, typed: str) -> str:
    """It is theirs, and will not be taken again. Returns which it was: `code`, or `recovery code`.

    Raises: WrongCode.
    """
    factor = SecondFactor.objects.select_for_update().filter(user_id=user.pk).exclude(sealed_secret="").first()
    if factor is None:
        raise WrongCode
    typed = _plain(typed)
    secret = unsealed(factor.sealed_secret)
    if secret is None:
        log.warning("the second factor of an account was sealed under another SECRET_KEY: it has to be reset")
    step = step_of(secret, typed, after=factor.last_step) if secret is not None else None
    if step is not None:
        SecondFactor.objects.filter(pk=factor.pk).update(last_step=step)
        return "code"
    unused = RecoveryCode.objects.filter(factor=factor, digest=_digest(factor, typed), used_at=None)
    if typed and unused.update(used_at=timezone.now()):
        return "recovery code"
    raise WrongCode


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """The old ones are worth nothing. Returns the new."""
    return _renewed(SecondFactor.objects.select_for_update().get(user_id=user.pk))


@transaction.atomic
def reset(user: User) -> bool:
    """The person has none, and is logged in nowhere. Returns whether there was one. Repeat: safe."""
    factor = _changed(user)
    had = bool(factor.sealed_secret)
    factor.sealed_secret, factor.enrolled_at, factor.last_step = "", None, 0
    factor.save()
    factor.recovery_codes.all().delete()
    return had


def unused_codes(user: User) -> int:
    """How many recovery codes are left."""
    return RecoveryCode.objects.filter(factor__user_id=user.pk, used_at=None).count()


def _changed(user: User) -> SecondFactor:
    """The person's row, ours until the transaction ends, with another stamp."""
    SecondFactor.objects.get_or_create(user_id=user.pk)
    factor = SecondFactor.objects.select_for_update().get(user_id=user.pk)
    factor.stamp = secrets.token_hex(16)
    return factor


def _renewed(factor: SecondFactor) -> list[str]:
    factor.recovery_codes.all().delete()
    codes = [base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(factor=factor, digest=_digest(factor, code)) for code in codes)
    return [f"{code[:4]}-{code[4:8]}-{code[8:12]}-{code[12:]}" for code in codes]


def _digest(factor: SecondFactor, code: str) -> str:
    """Eighty bits by chance, under SECRET_KEY: nothing that guesses are cheap at."""
    return salted_hmac(f"{_SALT}.recovery", f"{factor.user_id}:{code}", algorithm="sha256").hexdigest()


def _plain(typed: str) -> str:
    """Without the spaces and hyphens that are for the eye."""
    return "".join(typed.split()).replace("-", "").lower()[:64]
