"""`manage.py run`: the whole server in the foreground."""

from __future__ import annotations

import fcntl
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.utils import timezone

from lsp_site.running import beside, simulated
from lsp_site.running.embedded import DatabaseFailed, EmbeddedPostgres
from lsp_site.running.playground import play
from lsp_site.running.processes import Program
from lsp_site.running.silence import STREAMS, WORKER, Beat, silent
from lsp_site.running.supervisor import Stop, Stopped, Supervisor, Watch
from orders.models import Heartbeat


class Command(BaseCommand):
    """Database, migrations, web, worker and streams, until Ctrl-C or SIGTERM."""

    help = "Runs the whole server in the foreground."
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        """The server has run and everything it started has ended."""
        if nothing_configured():
            self.say("No node is configured: starting a simulated one.")
            with owned_home(settings.LSP_HOME / "simulated" / "node"):
                refuse_taken_port(settings.LISTEN_HOST, settings.LISTEN_PORT)
                sys.exit(play(simulated.world(settings.LSP_HOME, _listen()), "LSP stopped, and its simulated node."))
        refuse_without_node()
        stop = Stop()
        try:
            with stop.listening(), ExitStack() as owned:
                owned.enter_context(owned_home(settings.LSP_HOME))
                refuse_taken_port(settings.LISTEN_HOST, settings.LISTEN_PORT)
                postgres = owned.enter_context(running_database(self.say))
                call_command("migrate", interactive=False, verbosity=0)
                connection.close()
                supervisor = Supervisor(programs(), self.say, stop)
                supervisor.watches += watches(supervisor, postgres, self.say)
                supervisor.run()
        except Stopped:
            self.say("LSP stopped.")
        except DatabaseFailed as error:
            raise CommandError(str(error)) from error

    def say(self, line: str) -> None:
        """The line is printed now."""
        self.stdout.write(line)
        self.stdout.flush()


def nothing_configured() -> bool:
    """Nobody has said a word about a node: half a configuration is a mistake, none is a visitor."""
    return not (settings.LND_GRPC or settings.LND_MACAROON or settings.LND_NETWORK or settings.LND_TLS_CERT)


def _listen() -> str:
    return f"{settings.LISTEN_HOST}:{settings.LISTEN_PORT}"


def refuse_without_node() -> None:
    """Raises: CommandError that names what is missing, and the way to try the server without it."""
    if settings.MISSING_NODE_VARIABLES:
        raise CommandError(
            f"No node is configured. Missing: {', '.join(settings.MISSING_NODE_VARIABLES)} "
            "(set them in the environment or in .env; see docs/configuration.md).\n"
            "To try the server on a network of its own, with its own coins: make regtest",
            returncode=2,
        )


def refuse_taken_port(host: str, port: int) -> None:
    """Raises: CommandError when somebody else listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise CommandError(f"Cannot listen on {host}:{port}: {error.strerror}. Set LISTEN to another.") from error


@contextmanager
def owned_home(home: Path) -> Iterator[None]:
    """No other server runs on this home. Raises: CommandError when one does."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"Another server runs on {home}. A second one needs its own LSP_HOME and LISTEN."
            ) from None
        yield


@contextmanager
def running_database(say: Callable[[str], None]) -> Iterator[EmbeddedPostgres | None]:
    """The embedded database runs, and ends after everything that uses it; None where DATABASE_URL is set."""
    if not settings.DATABASE_IS_EMBEDDED:
        yield None
        return
    postgres = EmbeddedPostgres(settings.LSP_HOME)
    try:
        say(f"Starting the embedded PostgreSQL in {settings.LSP_HOME} …")
        start_database(postgres)
        yield postgres
    finally:
        connection.close()
        postgres.stop()


def start_database(postgres: EmbeddedPostgres) -> None:
    """It runs, and writes what goes wrong into `postgres.log`. Raises: DatabaseFailed."""
    with (settings.LSP_HOME / "postgres.log").open("wb") as log:
        postgres.start(output=log)


def programs() -> tuple[Program, ...]:
    """What the server consists of. Each is asked to end and given time for what it has begun."""
    manage = (sys.executable, str(settings.BASE_DIR / "manage.py"))
    web = (sys.executable, "-m", "gunicorn", "--config", "python:lsp_site.running.gunicorn", "lsp_site.wsgi")
    return (
        Program("web", web, stop_seconds=25),
        Program(WORKER, (*manage, "qcluster"), stop_seconds=45),
        Program(STREAMS, (*manage, "run_streams"), stop_seconds=25),
    )


def watches(supervisor: Supervisor, postgres: EmbeddedPostgres | None, say: Callable[[str], None]) -> Iterator[Watch]:
    """What the supervisor looks at: is the API there, does every lane still report, is the database alive."""
    yield Watch(lambda: not _said_ready(say), every_seconds=0.5)
    yield Watch(lambda: _all_report(supervisor), every_seconds=15)
    if postgres is not None:
        yield Watch(lambda: _database_lives(postgres, say), every_seconds=2)


def _said_ready(say: Callable[[str], None]) -> bool:
    base = f"http://{_listen()}"
    if not _api_answers(base):
        return False
    say(f"LSP ready at {base}")
    say(f"  API and its documentation: {base}/docs    Admin: {base}/admin/")
    say(f"  {_how_to_log_in()}")
    return True


def _api_answers(base: str) -> bool:
    """Also an unhealthy answer counts, as long as the database is there."""
    request = urllib.request.Request(f"{base}/healthz", headers={"Host": "localhost"})
    try:
        with urllib.request.urlopen(request, timeout=3) as answer:
            return bool(json.load(answer)["database"])
    except urllib.error.HTTPError as error:
        return error.code == 503 and b'"database": true' in error.read()
    except (OSError, ValueError, KeyError):
        return False


def _how_to_log_in() -> str:
    made = f"`{beside.make_admin(settings.LSP_HOME, is_embedded=settings.DATABASE_IS_EMBEDDED)}`"
    try:
        if get_user_model().objects.filter(is_staff=True, is_active=True).exists():
            return f"Log in with your staff account; {made} makes another."
        return f"Nobody can log in yet and no password is preset: {made} makes the first staff account."
    finally:
        connection.close()


def _all_report(supervisor: Supervisor) -> bool:
    """Always True: the watch goes on. A program that is silent too long, or a lane of it, was replaced."""
    try:
        beats = {beat.name: Beat(beat.at, beat.detail) for beat in Heartbeat.objects.all()}
    except DatabaseError:
        return True  # the database's own watch sees to that
    finally:
        connection.close()
    for name in (WORKER, STREAMS):
        _replace_if_silent(supervisor, name, beats)
    return True


def _replace_if_silent(supervisor: Supervisor, name: str, beats: Mapping[str, Beat]) -> None:
    child, stale_seconds = supervisor.children[name], settings.HEARTBEAT_STALE_SECONDS
    if not child.is_running:
        return
    running_seconds = time.monotonic() - child.started_at
    missing = silent(name, beats, running_seconds=running_seconds, now=timezone.now(), stale_seconds=stale_seconds)
    if missing:
        supervisor.replace(name, f"has not reported {', '.join(missing)} for {stale_seconds} s and was killed")


def _database_lives(postgres: EmbeddedPostgres, say: Callable[[str], None]) -> bool:
    """Always True: the watch goes on. A database that died was started again."""
    if postgres.process is None or postgres.process.poll() is not None:
        say("The embedded PostgreSQL ended by itself and is started again.")
        start_database(postgres)
    return True
