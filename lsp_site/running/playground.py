"""`make regtest`: a Bitcoin network of its own, and the server on it; ready-to-paste commands to buy a channel.

The network (btcd, our lnd, a buyer's lnd) is that of the tests. Both begin anew each time: the coins are worth nothing.
"""

from __future__ import annotations

import os
import selectors
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lsp_site.running.processes import Child, Program
from lsp_site.running.supervisor import Stop, Stopped

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".lsp" / "regtest"
NETWORK_SETTINGS = ROOT / ".lsp" / "playground" / "server.env"
READY = "LSP ready at "
#: The server says two more lines after that one.
LINES_AFTER_READY = 2
PLAY = ".venv/bin/python -m tests.regtest.playground"
COMMANDS = """
Buy a channel (in another terminal, in this folder; needs curl and python3):

  order=$(curl -s {base}/channel/buy -H 'Content-Type: application/json' \\
    -d '{{"local_balance": 500000, "remote_balance": 0, "channel_expiry": 4}}'); echo "$order"
  get() {{ echo "$order" | python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }}

Pay it, Lightning or on-chain (the payment is held until the channel's funding is published):

  {play} pay $(get ln_invoice)
  {play} send $(get btc_address) $(get total_amount)

As soon as its state is 100 (look below), name the buyer's node; and mine until it is 500 (still 300? mine again):

  curl -s {base}/channel/manual_finalise -H 'Content-Type: application/json' \\
    -d '{{"order_id": "'$(get order_id)'", "node_uri": "'$({play} address)'"}}'
  {play} mine 6

Look:

  curl -s "{base}/channel/order?order_id=$(get order_id)"
  {play} channels
  {play} balances

A staff account for {base}/admin/:  make admin NODE=regtest
Other commands beside the server:    LSP_ENV_FILE={home}/server.env .venv/bin/python manage.py order ID
Ctrl-C ends all of it.
"""


class Ended(Exception):
    """One of the two ended by itself."""


@dataclass(frozen=True, slots=True)
class World:
    """What the server stands on: the program that makes it, when it is there, and what the server has to know."""

    program: Program
    is_ready: Callable[[], bool]
    settings: Callable[[], dict[str, str]]
    home: Path
    keeps_home: bool
    commands: str
    make: str = "make"  # with what must stand before it


def regtest() -> World:
    """Btcd, our lnd and a buyer's lnd. Both network and server begin anew each time."""
    NETWORK_SETTINGS.unlink(missing_ok=True)
    network = ("-m", "tests.regtest.playground", "--env-file", str(NETWORK_SETTINGS))
    return World(
        program=Program("network", (sys.executable, *network), stop_seconds=30),
        is_ready=NETWORK_SETTINGS.exists,
        settings=lambda: _read(NETWORK_SETTINGS),
        home=HOME,
        keeps_home=False,  # what an earlier server knew is of a network that is gone
        commands=COMMANDS,
    )


class Playground:
    """A world and the server on it. Whichever ends takes the other with it."""

    def __init__(self, stop: Stop, world: World) -> None:
        self._stop = stop
        self._world = world
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._base = ""
        self._lines_to_commands = -1

    def run(self) -> None:
        """Both run; this returns only by an exception, and then neither is left. Raises: Stopped, Ended."""
        try:
            self._start(self._world.program)
            while not self._world.is_ready():
                self._turn()
            if not self._world.keeps_home:
                shutil.rmtree(self._world.home, ignore_errors=True)
            settings = {"LSP_ENV_FILE": "", "LSP_HOME": str(self._world.home), "DATABASE_URL": ""}
            settings |= {name: os.environ.get(name, "") for name in ("LISTEN", "PUBLIC_URL")} | self._world.settings()
            self._env_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items() if value))
            environment = ("env", *(f"{name}={value}" for name, value in settings.items()))
            server = (sys.executable, str(ROOT / "manage.py"), "run")
            self._start(Program("server", (*environment, *server), stop_seconds=75))
            while True:
                self._turn()
        finally:
            self._end()

    def _start(self, program: Program) -> None:
        child = Child(program)
        self._children.append(child)
        child.start()
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def _turn(self) -> None:
        self._pass_on_output(0.3)
        for child in self._children:
            if not child.is_running:
                raise Ended(f"The {child.program.name} ended.")

    def _pass_on_output(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            child: Child = key.data
            lines = child.lines()
            if lines is None:
                self._selector.unregister(key.fd)
            for line in lines or ():
                self._pass_on(child.program.name, line)

    def _pass_on(self, name: str, line: str) -> None:
        """The line, and the commands after the server has said all of where it is."""
        say(line if name == "server" else f"{name} | {line}")
        if name == "server" and line.startswith(READY):
            self._base = line.removeprefix(READY).strip()
            self._lines_to_commands = LINES_AFTER_READY + 1
        self._lines_to_commands -= name == "server"
        if self._lines_to_commands == 0:
            self._lines_to_commands = -1
            world = self._world
            say(world.commands.format(base=self._base, home=world.home, play=PLAY, make=world.make))

    @property
    def _env_file(self) -> Path:
        """While both run: what a command beside them has to know (`LSP_ENV_FILE`)."""
        return self._world.home / "server.env"

    def _end(self) -> None:
        """The server first, then its network."""
        self._env_file.unlink(missing_ok=True)
        for child in reversed(self._children):
            child.ask_to_end()
            deadline = time.monotonic() + child.program.stop_seconds
            while child.is_running and time.monotonic() < deadline and not self._stop.hurry:
                self._pass_on_output(0.1)
            self._pass_on_output(0)
            child.kill_group()


def _read(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: value for name, equals, value in pairs if equals}


def say(line: str) -> None:
    """The line is printed now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def play(world: World, farewell: str) -> int:
    """The world and the server on it have run. Returns the exit code."""
    stop = Stop()
    try:
        with stop.listening():
            Playground(stop, world).run()
    except Stopped:
        say(farewell)
        return 0
    except Ended as error:
        say(str(error))
    return 1


if __name__ == "__main__":
    sys.exit(play(regtest(), "The playground is over."))
