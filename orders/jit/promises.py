"""What was offered to one peer is promised by a code of ours, and nothing of it has to be remembered.

The code covers what the numbers mean, and not how they are written: wallets write them anew when they send them back,
one of them without the milliseconds of a time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.conf import settings

from orders.opening_fee import Fee

#: The service's id and the code: printable, and nothing of it needs an escape in JSON.
_PROMISE: Final = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class FeeParameters:
    """One entry of the menu, and everything that it says."""

    min_fee_msat: int
    proportional_ppm: int
    #: Of whole seconds.
    valid_until: datetime
    min_lifetime_blocks: int
    max_client_to_self_delay: int
    min_payment_size_msat: int
    max_payment_size_msat: int

    @property
    def fee(self) -> Fee:
        """What the opening costs."""
        return Fee(self.min_fee_msat, self.proportional_ppm)


@dataclass(frozen=True, slots=True)
class Offer:
    """An entry of the menu, and what it is bought with."""

    parameters: FeeParameters
    promise: str


def promise(said: FeeParameters, *, peer: str, service_id: UUID) -> str:
    """What the peer sends back with the parameters, to buy for them."""
    return f"{service_id.hex}.{_code(said, peer, service_id)}"


def service_of(text: str, said: FeeParameters, *, peer: str) -> UUID | None:
    """The service that we have promised this peer to sell for these parameters; None: we have not.

    How much of the code is right shows in no time that it takes.
    """
    read = _PROMISE.fullmatch(text)
    if read is None:
        return None
    service_id = UUID(read[1])
    return service_id if hmac.compare_digest(read[2], _code(said, peer, service_id)) else None


def _code(said: FeeParameters, peer: str, service_id: UUID) -> str:
    values = [_written(value) for value in astuple(said)]
    text = ":".join(["lsps2-promise", peer, service_id.hex, *values])
    return hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


def _written(value: int | datetime) -> str:
    return str(int(value.astimezone(UTC).timestamp()) if isinstance(value, datetime) else value)
