"""Which LND we work with, and what is known to be wrong with some that we do work with."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

#: The oldest LND we work with. What sets it is the clock of `Invoices.AddHoldInvoice`: from 0.21 on a
#: held invoice is cancelled 18 blocks before its first HTLC runs out (0.20: 12), and our margins count
#: on these 18. The newest fields we send, FundPsbt's `custom_lock_id` and `lock_expiration_seconds`, are of 0.19.
LOWEST_LND_VERSION: Final = (0, 21, 0)
#: The oldest LND that channels are opened with just in time, unless somebody says otherwise: those before may ask once
#: more about a part of a payment that was let go, and fail to take one whose channel was closed by force.
JUST_IN_TIME_LND_VERSION: Final = (0, 21, 4)


class Fault(NamedTuple):
    """Something that is wrong with every LND before `mended_in`, in words for its operator."""

    mended_in: tuple[int, int, int]
    what: str
    mend: str


#: Faults that can cost whoever sells channels something; one row each, the oldest first.
FAULTS: Final = (
    Fault(
        (0, 21, 3),
        "an opening that a peer ends while its PSBT is verified can block every later opening",
        "Upgrade LND; until then restart it when no channel opens any more.",
    ),
    Fault(
        (0, 21, 3),
        "a peer can make LND use more and more memory by what it sends and does not read",
        "Upgrade LND.",
    ),
    Fault(
        (0, 21, 4),
        "after a restart a forward that was resumed already can be intercepted once more",
        "Of this server it touches channels that open just in time alone, which are off with such an LND unless "
        "LSPS2_ON_OLD_LND is on.",
    ),
    Fault(
        (0, 21, 8),
        "strangers can reach a fault of the kernel's multipath TCP through the ports that LND listens on",
        "Upgrade LND, or set GODEBUG=multipathtcp=0 in its environment (which cannot be seen from here).",
    ),
)


def is_supported(version: str) -> bool:
    """`version` (as GetInfo says it, "0.21.3-beta commit=…") is new enough."""
    return is_at_least(version, LOWEST_LND_VERSION)


def is_at_least(version: str, wanted: tuple[int, int, int]) -> bool:
    """`version` is `wanted` or newer; one that says no number is not."""
    numbers = _numbers(version)
    return numbers is not None and numbers >= wanted


def faults_of(version: str) -> tuple[Fault, ...]:
    """What is known to be wrong with this version; of one that says no number, everything."""
    numbers = _numbers(version)
    return tuple(fault for fault in FAULTS if numbers is None or numbers < fault.mended_in)


def dotted(version: tuple[int, ...]) -> str:
    """The version as people write it."""
    return ".".join(map(str, version))


def _numbers(version: str) -> tuple[int, ...] | None:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else None
