"""What a buyer may send as a token: a text that brings something, or says no more than which wallet it is."""

from __future__ import annotations

from fnmatch import fnmatchcase

from django.conf import settings

from orders.errors import TokenUnknown


def require_known(token: str | None) -> None:
    """The token means something here, or there is none. Raises: TokenUnknown."""
    if token and not names_a_wallet(token):
        raise TokenUnknown


def names_a_wallet(token: str) -> bool:
    """It is one of those that wallets send to say who they are: it brings nothing."""
    return any(fnmatchcase(token, pattern) for pattern in settings.WALLET_TOKENS)
