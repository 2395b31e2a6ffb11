"""The worker alone (`manage.py qcluster`, no streams): reconcile and its queue carry a whole purchase."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django_q.models import Schedule
from django_q.tasks import async_task

from orders.models import Heartbeat
from tests.e2e.shop import Shop
from tests.regtest.payment import SUCCEEDED
from tests.regtest.waiting import NeverHappened, until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def worker(server_environment: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """The running worker; its log."""
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            env=server_environment, cwd=ROOT, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    yield log
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_state(shop: Shop, quote: dict[str, object], state: str, log: Path, *, mine: bool = False) -> None:
    def there() -> bool:
        async_task("orders.tasks.reconcile_all")  # what the schedule does each minute
        if mine:
            shop.network.mine(1)
        return shop.order(quote).state == state

    try:
        until(there, f"the order is {state}", timeout=90, pause=1)
    except NeverHappened as never:
        raise AssertionError(f"{never}\n{shop.story(quote)}\n{log.read_text()[-3000:]}") from None


def test_a_purchase_completes_with_the_streams_stopped_the_whole_time(shop: Shop, worker: Path) -> None:
    quote = shop.buy()
    payment = shop.pay(quote)
    wait_state(shop, quote, "paid", worker)
    shop.claim(quote)
    wait_state(shop, quote, "opening", worker)
    wait_state(shop, quote, "open", worker, mine=True)
    assert payment.wait() == SUCCEEDED
    shop.assert_delivered(quote)
    assert Heartbeat.objects.filter(name="reconcile").exists()
    assert not Heartbeat.objects.filter(name="streams").exists()


@pytest.mark.django_db
def test_reconcile_is_scheduled_for_every_minute() -> None:
    schedule = Schedule.objects.get(name="reconcile")
    assert (schedule.func, schedule.schedule_type, schedule.minutes, schedule.repeats) == (
        "orders.tasks.reconcile_all", "I", 1, -1,
    )  # fmt: skip
