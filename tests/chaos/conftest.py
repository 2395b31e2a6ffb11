"""Processes of ours that stop at a step of the protocol, and the hands that kill what is around them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from tests.chaos.hooked import FOLDER
from tests.chaos.processes import Zygote
from tests.chaos.runs import Plan, Run, environment
from tests.chaos.tally import TALLY
from tests.e2e.conftest import shop
from tests.e2e.shop import Shop
from tests.property.inside import Loop
from tests.regtest.waiting import until

__all__ = ["shop"]

_PASSED_ON = ("PATH", "HOME", "LANG", "PYTHONPATH")


@dataclass
class Engine:
    """Our process at work on one order."""

    shop: Shop
    folder: Path
    database_url: str
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self, quote: dict[str, object], point: str) -> None:
        """It works on the order, and will stop at `point`."""
        (self.folder / "point").write_text(point)
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        lsp = self.shop.network.lsp
        environment |= {
            FOLDER: str(self.folder),
            "DJANGO_SETTINGS_MODULE": "lsp_site.settings",
            "LSP_ENV_FILE": "",
            "LSP_HOME": str(django_settings.LSP_HOME),
            "DATABASE_URL": self.database_url,
            "LIGHTNING_NODE": "tests.chaos.hooked.HookedNode",
            "LND_GRPC": lsp.grpc_address,
            "LND_TLS_CERT": str(lsp.tls_certificate),
            "LND_MACAROON": str(lsp.admin_macaroon),
            "LND_NETWORK": "regtest",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PAUSE_IF_BEHIND": "off",
            "RETRY_FIRST_SECONDS": "1",
        } | self.settings  # fmt: skip
        command = [sys.executable, "-m", "tests.chaos.engine", str(quote["order_id"])]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=_root())

    def wait_reached(self) -> None:
        """It has stopped at its point."""
        until((self.folder / "reached").exists, "the step is reached", timeout=60)

    def let_go(self) -> None:
        """It may go on."""
        (self.folder / "go").touch()

    def kill(self) -> None:
        """kill -9. Repeat: safe."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def log(self) -> str:
        return (self.folder / "log").read_text()


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


StartRun = Callable[..., Run]


@pytest.fixture
def engine(shop: Shop, tmp_path: Path, database_url: str) -> Iterator[Engine]:
    running = Engine(shop, tmp_path, database_url)
    yield running
    running.kill()


@pytest.fixture(scope="session")
def zygote(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    running = Zygote(environment(database_url), tmp_path_factory.mktemp("zygote") / "log")
    yield running
    running.close()


@pytest.fixture
def start(zygote: Zygote, loop: Loop, tmp_path: Path, transactional_db: None) -> Iterator[StartRun]:
    runs: list[Run] = []

    def started(plan: Plan, **options: float) -> Run:
        runs.append(Run(plan, zygote, loop, tmp_path, **options))
        return runs[-1]

    yield started
    for run in runs:
        run.close()
        print("met:", run.processes.met)
        TALLY.add(1, len(run.plan.deaths), [role for role, _ in run.processes.met])
