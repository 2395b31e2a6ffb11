"""What one check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How bad it is. A failure loses money or sales, now or at the next mishap."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result. No secret is ever in it. `mend` may have several lines."""

    name: str
    health: Health
    seen: str
    mend: str = ""

    @property
    def is_failure(self) -> bool:
        """Money or sales are lost by it."""
        return self.health is Health.FAILURE


def ok(name: str, seen: str, note: str = "") -> Finding:
    """Nothing is wrong; `note` is worth knowing all the same."""
    return Finding(name, Health.OK, seen, note)


def warning(name: str, seen: str, mend: str) -> Finding:
    """It works, and somebody should look at it."""
    return Finding(name, Health.WARNING, seen, mend)


def harmless(finding: Finding, why: str) -> Finding:
    """A warning is none, and says why; a failure stays one."""
    return ok(finding.name, f"{finding.seen}, {why}") if finding.health is Health.WARNING else finding


def failure(name: str, seen: str, mend: str) -> Finding:
    """Money or sales are lost by it."""
    return Finding(name, Health.FAILURE, seen, mend)
