"""v1's door has its own word for everything that the domain refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orders import errors
from orders.api import problems, weeks
from orders.errors import OrderError, OutOfRange

FIELDS = {
    "lsp_balance_sat": "local_balance",
    "client_balance_sat": "remote_balance",
    "capacity_sat": "local_balance",
    "channel_expiry_blocks": "channel_expiry",
}
OURS = re.compile(r"_sat\b|_blocks\b|block")


def kinds(of: type[OrderError] = OrderError) -> list[type[OrderError]]:
    return [of, *(kind for child in of.__subclasses__() for kind in kinds(child))]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [0, 10**9])
def test_no_name_of_ours_reaches_a_client_of_v1(field: str, value: int) -> None:
    problem = problems.of(OutOfRange(field, value, least=1_008, most=12_096))
    assert problem.field == FIELDS[field]
    assert not OURS.search(problem.message)


def test_a_pushed_balance_that_is_too_large_is_told_in_v1s_names() -> None:
    problem = problems.of(errors.ClientSideTooLarge())
    assert not OURS.search(problem.message) and problem.field == "remote_balance"


_LEFT = {"most_sat": 0, "again_in_seconds": 60}


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_whatever_the_domain_refuses_has_a_status_a_code_and_a_time_to_come_back(kind: Any) -> None:
    given = {
        errors.InvalidField: lambda: errors.InvalidField("No.", field="reason"),
        errors.NotServed: lambda: errors.NotServed("No.", field="node"),
        errors.NodeFull: lambda: errors.NodeFull("No.", field="node"),
        errors.WouldNotOpen: lambda: errors.WouldNotOpen("No.", field="node", code="PEER_POLICY", works=None),
        OutOfRange: lambda: OutOfRange("capacity_sat", 1, least=2, most=3),
        errors.ClientSideTooLarge: errors.ClientSideTooLarge,
        errors.WrongToken: errors.WrongToken,
    }.get(kind, lambda: kind("No.", **(_LEFT if issubclass(kind, errors.NotEnoughCoins) else {})))
    problem = problems.of(given())
    assert 400 <= problem.http_status < 600 and problem.code and problem.message.endswith(".")
    assert problem.retry_after_seconds == kind.again_in_seconds
    waits = problem.http_status in {429, 503} or kind is errors.KeyInFlight
    assert (problem.retry_after_seconds is not None) is waits


@pytest.mark.parametrize(
    ("blocks", "whole", "begun"), [(1, 0, 1), (1_007, 0, 1), (1_008, 1, 1), (1_009, 1, 2), (12_096, 12, 12)]
)
def test_weeks_promise_no_more_than_there_is_and_ask_for_no_less(blocks: int, whole: int, begun: int) -> None:
    assert (weeks.whole(blocks), weeks.begun(blocks)) == (whole, begun)
    assert weeks.whole(weeks.in_blocks(begun)) == begun
