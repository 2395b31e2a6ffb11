"""LNbits beside us, on the same node in the same run: how fast it makes a plain invoice. It is no part of this project.

Measured where `LNBITS_PYTHON` names the Python of an environment that has it
(`python3 -m venv v && v/bin/pip install lnbits 'bitstring<5'`); it keeps its rows in SQLite, as it does unless told
otherwise, and answers from one process, as it always does.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from tests.bench.shop import Shop
from tests.regtest.processes import Program, free_port, release_port
from tests.regtest.waiting import until

PYTHON: Final = "LNBITS_PYTHON"
_OWNER: Final = {"username": "bench", "password": "bench-bench", "password_repeat": "bench-bench"}
_WHERE: Final = "import lnbits, pathlib; print(pathlib.Path(lnbits.__file__).parents[1])"


def is_there() -> bool:
    """Somebody has said where it is."""
    return bool(os.environ.get(PYTHON))


class Lnbits:
    """One of it, with one account."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self._key = port, key

    def client(self) -> http.client.HTTPConnection:
        """A connection of its own, kept alive between requests."""
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)

    def invoice(self, client: http.client.HTTPConnection) -> None:
        """One more invoice is made. Raises: RuntimeError for any other answer."""
        asked = {"out": False, "amount": 1000, "memo": "bench"}
        _answer(client, "POST", "/api/v1/payments", asked, {"X-Api-Key": self._key})

    def invoices_per_second(self, clients: int, times: int, together: Callable[..., float]) -> float:
        """As many at once as there are clients."""
        with ExitStack() as opened:
            connections = [opened.enter_context(closing(self.client())) for _ in range(clients)]
            return together([partial(self.invoice, each) for each in connections], times)


@contextmanager
def running(shop: Shop) -> Iterator[Lnbits]:
    """It answers, on the node of the shop."""
    folder, port = settings.LSP_HOME / "lnbits", free_port()
    folder.mkdir()
    program = Program("lnbits", folder / "log")
    try:
        program.launch(_command(shop, folder, port))
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        until(partial(_answers, client), "LNbits answers", pause=0.5, timeout=90)
        _answer(client, "PUT", "/api/v1/auth/first_install", _OWNER, {})
        client.close()
        yield Lnbits(port, _key(folder / "database.sqlite3"))
    finally:
        program.terminate()
        release_port(port)


def _key(path: Path) -> str:
    """Of its owner's wallet, which is in no currency from now on: it would ask the internet for the rate."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE wallets SET currency = NULL")
        database.commit()
        return str(database.execute("SELECT inkey FROM wallets").fetchone()[0])


def _command(shop: Shop, folder: Path, port: int) -> list[str]:
    python, env, lsp = os.environ[PYTHON], shutil.which("env"), shop.network.lsp
    assert env is not None
    installed = subprocess.run([python, "-c", _WHERE], capture_output=True, text=True, check=True).stdout.strip()
    host, _, grpc_port = lsp.grpc_address.rpartition(":")
    told = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LNBITS_DATA_FOLDER": str(folder),
        "LNBITS_EXTENSIONS_PATH": str(folder),
        "LNBITS_BACKEND_WALLET_CLASS": "LndWallet",
        "LNBITS_RATE_LIMIT_NO": "100000000",
        "LND_GRPC_ENDPOINT": host,
        "LND_GRPC_PORT": grpc_port,
        "LND_GRPC_CERT": str(lsp.tls_certificate),
        "LND_GRPC_MACAROON": str(lsp.admin_macaroon),
    }
    serve = [python, "-m", "uvicorn", "lnbits.__main__:app", "--host", "127.0.0.1", "--port", str(port)]
    return [env, "-i", "-C", installed, *(f"{name}={value}" for name, value in told.items()), *serve]


def _answers(client: http.client.HTTPConnection) -> bool:
    try:
        client.request("GET", "/api/v1/health")
        answer = client.getresponse()
        answer.read()
        return answer.status in {200, 307}  # it wants to be installed first
    except OSError:
        client.close()
        return False


def _answer(
    client: http.client.HTTPConnection, method: str, path: str, asked: dict[str, Any], shown: dict[str, str]
) -> Any:
    client.request(method, path, json.dumps(asked), {"Content-Type": "application/json", **shown})
    answer = client.getresponse()
    content = answer.read()
    if answer.status not in {200, 201}:
        raise RuntimeError(f"LNbits answered {answer.status}: {content[:300]!r}")
    return json.loads(content)
