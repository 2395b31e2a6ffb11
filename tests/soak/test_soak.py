"""The soak's own words: every fate has its share, and what must not be is seen. The soak itself is `make soak`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.regtest.payment import FAILED, SUCCEEDED
from tests.soak import table
from tests.soak.buyers import FATES, Purchase


class Said:
    """A payment, a node and a database that say what a test wants."""

    def __init__(self, **said: Any) -> None:
        self.__dict__.update(said)

    def __getattr__(self, name: str) -> Any:
        return self


def troubles(
    fate: str, state: str, paid: str, *, trouble: str = "", memos: tuple[str, ...] = (), is_active: bool = True
) -> list[str]:
    purchase = Purchase(fate, {"order_id": "one"}, Said(status=lambda: paid), trouble)  # type: ignore[arg-type]
    channels = [Said(memo=memo) for memo in memos]
    server, lsp = Said(rows=lambda query: [("one", state)]), Said(channels=lambda: channels)
    network = Said(lsp=lsp, buyer=Said(channels=lambda other: [Said(active=is_active)]))
    return list(table.troubles(Said(server=server, network=network), [purchase]))  # type: ignore[arg-type]


def test_every_fate_has_its_share_of_a_hundred() -> None:
    assert sum(FATES.values()) == 100 and all(share > 0 for share in FATES.values())


def test_what_is_well_is_no_trouble() -> None:
    assert not troubles("lightning", "open", SUCCEEDED, memos=("one", "", ""))
    assert not troubles("never_claimed", "refunded", FAILED)


@pytest.mark.parametrize(
    ("state", "paid", "more", "said"),
    [
        ("refunded", SUCCEEDED, {}, "taken for nothing"),
        ("open", FAILED, {}, "a channel for nothing"),
        ("open", SUCCEEDED, {"trouble": "no answer"}, "no answer"),
        ("open", SUCCEEDED, {"memos": ("one", "one")}, "two channels"),
        ("open", SUCCEEDED, {"is_active": False}, "channel is dead"),
    ],
)
def test_what_must_not_be_is_seen(state: str, paid: str, more: Any, said: str) -> None:
    [trouble] = troubles("lightning", state, paid, **more)
    assert said in trouble
