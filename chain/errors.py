"""Two errors, by what the caller may do. No text of the other side's is ever in one: it knows our password."""

from __future__ import annotations


class ChainError(Exception):
    """The Bitcoin node gave no answer that can be used."""


class ChainUnavailable(ChainError):
    """It is away, slow, starting, or refuses us: asking about something else is no use now."""


class Unreadable(ChainError):
    """What it says of this one thing is no answer, or more than we read. It may answer about others."""
