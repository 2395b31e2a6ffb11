"""How often the database and the node are asked, operation by operation, beside a table that is committed.

Who makes a path slower sees it in the table's difference, and so does who reads the change. Where it is meant:
`python -m pytest tests/simulator/test_costs.py --write-costs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest

from lightning import shared
from tests.bench import operations
from tests.property.inside import Loop
from tests.simulator.chain_fees import FeeShop, open_shop

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = Path(__file__).with_name("costs.txt")
#: What is never asked for one order, nor each minute: it grows with all that the node ever had.
WHOLE = {"ListChannels of all", "ClosedChannels", "ListInvoices", "GetTransactions"}
#: Who may ask so all the same: seldom, or a person.
SELDOM = {"start of a process", "recover"}


@pytest.fixture
def shop(loop: Loop, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[FeeShop]:
    settings.SNAPSHOT_MAX_AGE_SECONDS = 3600  # however slow this machine is
    monkeypatch.setattr(shared, "_SECONDS", 3600.0)
    with open_shop(loop, settings) as opened:
        yield opened


@pytest.fixture
def costs(shop: FeeShop) -> list[operations.Cost]:
    return list(operations.costs(shop))


def test_what_each_operation_asks_is_as_the_table_says(
    costs: list[operations.Cost], pytestconfig: pytest.Config
) -> None:
    now = operations.table(costs)
    if pytestconfig.getoption("--write-costs"):
        TABLE.write_text(now, encoding="utf-8")
    before = TABLE.read_text(encoding="utf-8")
    changed = "\n".join(unified_diff(before.splitlines(), now.splitlines(), "the table", "now", lineterm="", n=0))
    assert now == before, f"{changed}\nWhere this is meant: --write-costs"
    whole = {cost.operation for cost in costs if WHOLE & {each.name for each in cost.calls}}
    assert whole <= SELDOM
