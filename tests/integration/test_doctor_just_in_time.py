"""What the doctor says of channels that open just in time, and of whoever answers LND about others' payments."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from orders.models import Heartbeat
from orders.reconcile import beat
from tests.integration import test_doctor
from tests.integration.test_doctor import WellNode, bad, found
from watch.doctor import Health

pytestmark = pytest.mark.django_db
well = test_doctor.well


def test_what_keeps_channels_from_being_sold_just_in_time_is_told_with_what_mends_it(
    well: WellNode, settings: Any
) -> None:
    assert found(well)["lsps2"].seen == "off by LSPS2_ENABLED"
    settings.LSPS2_ENABLED = True
    assert bad(well) == {"lsps2": Health.WARNING}
    told = found(well)["lsps2"]
    assert "requireinterceptor" in told.seen and "before their funding is mined" in told.seen
    assert "protocol.zero-conf=true" in told.mend and "requireinterceptor=true" in told.mend
    well.changes, well.lnd_conf["requireinterceptor"] = {"features": frozenset({46, 50, 729})}, "true"
    assert bad(well) == {}


def test_of_one_large_coin_a_first_payment_under_way_leaves_none_to_the_next(
    well: WellNode, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LSPS2_ENABLED = True
    well.changes, well.lnd_conf["requireinterceptor"] = {"features": frozenset({46, 50, 729})}, "true"
    assert bad(well) == {}
    coins = well.coins(min_confirmations=1)
    monkeypatch.setattr(well, "coins", lambda **_: (*coins[1:], replace(coins[0], amount_sat=2 * coins[0].amount_sat)))
    assert bad(well) == {"lsps2": Health.WARNING}
    assert "coins --split" in found(well)["lsps2"].mend


def test_a_right_that_channels_just_in_time_need_is_missed_where_they_are_wanted(well: WellNode, settings: Any) -> None:
    well.allowed.discard("/routerrpc.Router/HtlcInterceptor")
    assert bad(well) == {}
    settings.LSPS2_ENABLED = True
    assert bad(well) == {"lsps2": Health.WARNING, "macaroon": Health.WARNING}
    assert "HtlcInterceptor" in found(well)["lsps2"].seen


def test_a_node_that_forwards_nothing_without_whoever_is_switched_off_is_warned_of(
    well: WellNode, settings: Any
) -> None:
    well.lnd_conf["requireinterceptor"] = "true"
    assert "forwards nothing" in found(well)["lsps2"].seen
    assert bad(well) == {"lsps2": Health.WARNING}


def test_of_a_node_that_does_not_say_how_it_was_started_nothing_is_told(well: WellNode) -> None:
    well.allowed.discard("/lnrpc.Lightning/GetDebugInfo")
    assert bad(well) == {}
    assert "configuration" not in well.calls


def test_who_no_longer_answers_what_lnd_asks_fails(well: WellNode) -> None:
    assert found(well)["forwarding"].seen == "LND does not ask us"
    beat("forwarding")
    assert bad(well) == {}
    Heartbeat.objects.filter(name="forwarding").update(at=timezone.now() - timedelta(hours=1))
    assert bad(well)["forwarding"] == Health.FAILURE
