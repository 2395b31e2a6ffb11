"""Ten thousand orders of two years, in a file of their own: another history in the database would be told with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orders.figures import Period
from tests.integration.earned_told import PPM, assert_days, assert_told, made, periods

pytestmark = pytest.mark.django_db


@pytest.mark.long
def test_ten_thousand_orders_of_two_years_are_told_as_they_were(settings: Any) -> None:
    settings.CAPITAL_COST_PPM = PPM
    history = made(12, 10_000, 30_000)
    for period in periods(history.now):
        assert_told(history, period)
    assert_days(history, Period(history.now - timedelta(days=20), history.now))
