"""Debian's PgBouncer before the database of the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lsp_site.running import embedded
from lsp_site.running.embedded import EmbeddedPostgres
from tests.site.test_run import free_address

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _as_the_database() -> dict[str, Any]:
    """It does not run as root, and must be able to reach the database's socket."""
    if os.geteuid() != 0:
        return {}
    account = embedded._account()
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


class PgBouncer:
    """One that pools as told, for any database of this PostgreSQL."""

    def __init__(self, postgres: EmbeddedPostgres, **options: str) -> None:
        self.host, _, self.port = free_address().rpartition(":")
        self._folder = Path(tempfile.mkdtemp(prefix="lsp-pgbouncer-"))
        self._folder.chmod(0o755)
        settings = {"listen_addr": self.host, "listen_port": self.port, "unix_socket_dir": "", "auth_type": "any"}
        settings |= {"max_client_conn": "100", **options}
        place = f"host={embedded.socket_folder(postgres.home)} port={embedded.PORT} user={embedded.USER}"
        lines = [
            "[databases]",
            f"* = {place}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        (self._folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "--quiet", str(self._folder / "pgbouncer.ini")],
            **_as_the_database(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def url(self, database: str) -> str:
        return f"postgresql://{quote(embedded.USER)}@{self.host}:{self.port}/{database}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        with socket.socket() as probe:
            while probe.connect_ex((self.host, int(self.port))):
                assert self._process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
