"""The shop is played, and what came of it is written down."""

from __future__ import annotations

import dataclasses
import gzip
import json
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from lsp_site.running import embedded
from orders.models import Service
from simulator.macaroons import Macaroons
from simulator.world import World
from tests.property.inside import Loop
from tests.upgrade import world
from tests.upgrade.making import ending, hours_ago, just_now, long_ago
from tests.upgrade.making.stage import Stage

FOLDER = Path(__file__).resolve().parents[1]
#: What nothing but the work itself limits, as in a shop with many customers.
UNLIMITED: dict[str, Any] = {
    "BUY_RATE": "1000000/min",
    "READ_RATE": "1000000/min",
    "CLAIM_RATE": "1000000/min",
    "UNPAID_ORDERS_PER_CLIENT": 1_000_000,
    "UNPAID_SHARE_PERCENT": 100,
    "PARALLEL_OPENINGS": 63,
    "ALLOWED_HOSTS": ["testserver"],
}


def main() -> int:
    for name, value in UNLIMITED.items():
        setattr(settings, name, value)
    server = embedded.EmbeddedPostgres(settings.LSP_HOME, durable=False)
    with ExitStack() as ends:
        log = ends.enter_context((settings.LSP_HOME / "postgres.log").open("wb"))
        server.start(output=log)
        ends.callback(server.stop)
        ends.callback(connection.close)
        call_command("migrate", interactive=False, verbosity=0)
        folder = new_folder()
        loop = Loop()
        ends.callback(loop.close)
        stage = Stage(loop, settings)
        ends.callback(stage.network.stop)
        play(stage)
        write(stage, server.url(), folder)
    return 0


def play(stage: Stage) -> None:
    """Everything that a shop can hold is there, one of each."""
    stage.services = {
        "private": sold("Private channels", announced_by_default=False, accepts_onchain=False),
        "onchain": sold("For deposits only", accepts_lightning=False),
    }
    stage.top_up(60, 5_000_000)
    stage.look()
    long_ago.play(stage)
    ending.watchers(stage)
    hours_ago.play(stage)
    just_now.play(stage)
    ending.staff()
    ending.pauses(stage)
    ending.leftovers(stage)


def sold(description: str, **others: Any) -> str:
    """The id of a service beside the first."""
    return str(Service.objects.create(description=description, position=1, **others).pk)


def new_folder() -> Path:
    """Where it will stand. What was written down once stays as it is."""
    folder = FOLDER / f"shop-{last_migration()[:4]}"
    if folder.exists():
        raise SystemExit(f"{folder} is there already")
    return folder


def write(stage: Stage, url: str, folder: Path) -> None:
    """The three files of the folder: the database, the node, and what both have in common."""
    folder.mkdir()
    shop = {
        "migration": last_migration(),
        "at": timezone.now().timestamp(),
        "preimage_key": settings.PREIMAGE_KEY,
        "secret_key": settings.SECRET_KEY,
        "repeated": just_now.REPEATED,
        "orders": {name: quote["order_id"] for name, quote in sorted(stage.quotes.items())},
    }
    (folder / "shop.json").write_text(json.dumps(shop, indent=1) + "\n")
    packed(folder / "database.sql.gz", dumped(url))
    packed(folder / "node.json.gz", json.dumps(stage.network.lsp.look(state)).encode())


def state(of: World) -> Any:
    """What the node knows; who may ask it is settled anew where it starts."""
    return world.written(dataclasses.replace(of.kept, macaroons=Macaroons()))


def packed(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, mtime=0))


def dumped(url: str) -> bytes:
    """The whole database as statements."""
    program = str(embedded._PROGRAMS / "pg_dump")
    options = ["--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges", "--dbname", url]
    return subprocess.run([program, *options], check=True, capture_output=True).stdout


def last_migration() -> str:
    return max(name for app, name in MigrationRecorder(connection).applied_migrations() if app == "orders")
