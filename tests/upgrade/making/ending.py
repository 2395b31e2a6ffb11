"""What is in the database beside orders, as it stands when the server is stopped for the upgrade."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from django_q.models import Task

from orders import reconcile, tasks
from orders.models import IdempotencyKey
from tests.upgrade.making.stage import Stage

UPGRADE = "A new version is being installed."
#: Nobody listens there.
NOBODY = "json://127.0.0.1:1/"


class _Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[str]:
    """Whoever is told takes it; as a URL for ALERT_URL."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/"
    server.shutdown()


def watchers(stage: Stage) -> None:
    """Somebody is told of what stands now."""
    with receiver() as url, stage.set_to(ALERT_URL=(url,)):
        tasks.send_alerts()


def staff() -> None:
    """One who may look, and is logged in as ada is."""
    rita = User.objects.create_user("rita", is_staff=True)
    rita.user_permissions.set(Permission.objects.filter(content_type__app_label="orders", codename__startswith="view_"))
    Client().force_login(rita)


def pauses(stage: Stage) -> None:
    """Both are off: staff have paused the sales, and the server the openings, since the node knows more than we do."""
    call_command("pause", openings=True, reason="The machine is being moved.", verbosity=0)
    call_command("resume", openings=True)
    call_command("pause", sales=True, reason=UPGRADE)
    with stage.set_to(PAUSE_IF_BEHIND=True):
        tasks.reconcile_all()
    stage.step("paused", times=1)
    stage.waits("paused", "OPENINGS_PAUSED")


def leftovers(stage: Stage) -> None:
    """A key whose request is in flight, a process's sign of life, a task that failed, alerts nobody was told of."""
    now = timezone.now()
    key = hashlib.sha256(b"in flight").hexdigest()
    IdempotencyKey.objects.create(key_hash=key, body_hash=hashlib.sha256(b"body").hexdigest(), created_at=now)
    reconcile.beat("streams", "node=up invoices=9 running=0 waiting=0")
    Task.objects.create(
        id="f" * 32,
        name="late-alerts",
        func="orders.tasks.send_alerts",
        args=(),
        kwargs={},
        result="Task exceeded maximum timeout value (60 seconds)",
        started=now - timedelta(minutes=9),
        stopped=now - timedelta(minutes=8),
        success=False,
        attempt_count=1,
    )
    for name in ("deposits_over", "late_and_seen"):  # of the second somebody was told
        stage.deed(name, "settle_flag")
    with stage.set_to(ALERT_URL=(NOBODY,)), suppress(OSError):
        tasks.send_alerts()
