"""What a buyer shows with a purchase is taken, or refused; and the last use of a coupon is sold once."""

from __future__ import annotations

from uuid import UUID

from django.utils import timezone

from orders import queries, tokens
from orders.errors import TokenNotTaken
from orders.models import Coupon, TokenPattern


def shown(token: str | None) -> Coupon | None:
    """The coupon that the token is; None where there is none, or it only says who the wallet is.

    Raises: TokenNotTaken (neither).
    """
    if not token:
        return None
    row = Coupon.objects.filter(code=token).first() if token.isascii() and token.isprintable() else None
    patterns = [] if row else TokenPattern.objects.filter(is_active=True).values_list("pattern", flat=True)
    tokens.accept(token, [row.terms] if row else [], patterns, timezone.now())
    return row


def require_left(coupon: Coupon | None, *, besides: UUID | None = None) -> None:
    """One more order may have the coupon. Strict for who holds the lock of sales, and has his own order `besides`.

    Raises: TokenNotTaken.
    """
    if coupon is not None and queries.is_used_up(coupon, besides=besides):
        raise TokenNotTaken("This code was used as often as it may be.")
