"""A test network to play with, in the foreground until Ctrl-C.

    python -m tests.regtest.playground                    start it; a prompt takes commands
    python -m tests.regtest.playground pay INVOICE        the same commands, from another terminal

It has an LSP's node without a server, and a buyer's wallet. All of it is lost when it ends; the money is worth nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

from tests.regtest.build import BuildFailed, GoMissing, binaries
from tests.regtest.commands import HELP, Commands, NotDone
from tests.regtest.network import Network

HOME = Path(__file__).resolve().parents[2] / ".lsp" / "playground"
STATE = "running.json"
TOKEN_HEADER = "X-Playground-Token"
#: lnd takes a chain whose tip is older than two hours for one that is not synced.
BLOCK_EVERY_SECONDS = 600


class NotRunning(RuntimeError):
    def __init__(self, home: Path) -> None:
        super().__init__(f"no playground runs in {home}; start one with: python -m tests.regtest.playground")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.regtest.playground", description=__doc__, epilog=HELP)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--home", type=Path, default=HOME, help="where the running playground is noted (%(default)s)")
    parser.add_argument("--env-file", type=Path, help="write the server's settings here once the network is ready")
    parser.add_argument("command", nargs="*", help="a command for the playground that runs; none: start one")
    given = parser.parse_args()
    home = given.home.resolve()
    try:
        if given.command:
            print(ask(home, " ".join(given.command)))
        else:
            serve(home, given.env_file)
    except (GoMissing, BuildFailed, NotRunning, NotDone, AlreadyRunning) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


# Asking the one that runs


def ask(home: Path, line: str) -> str:
    """What the running playground answers to a command. Raises: NotRunning; NotDone."""
    try:
        state = json.loads((home / STATE).read_text())
    except FileNotFoundError:
        raise NotRunning(home) from None
    headers = {TOKEN_HEADER: state["token"]}
    request = urllib.request.Request(state["url"], data=line.encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        raise NotDone(refusal.read().decode()) from None
    except OSError:
        raise NotRunning(home) from None


# Being the one that runs


class AlreadyRunning(RuntimeError):
    def __init__(self, home: Path) -> None:
        super().__init__(f"a playground runs already in {home}")


def serve(home: Path, env_file: Path | None) -> None:
    """The network runs until somebody ends it: Ctrl-C, SIGTERM, or the command `quit`."""
    _refuse_a_second(home)
    signal.signal(signal.SIGTERM, _stop)
    folder = home / "network"
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    binaries(say=_say)
    _say("starting btcd and two lnd nodes ...")
    try:
        with Network(folder=folder) as network:
            _run(network, home, env_file)
    except KeyboardInterrupt:
        pass  # the usual way to end it
    finally:
        for left in (home / STATE, env_file):
            if left:
                left.unlink(missing_ok=True)
    _say("the playground is gone")


def _run(network: Network, home: Path, env_file: Path | None) -> None:
    commands = Commands(network)
    over = threading.Event()
    server = _control(commands, over, home)
    settings = server_settings(network)
    if env_file:
        _write(env_file, settings)
    _say(f"\nSettings for the server:\n\n{settings}\nThe buyer's node:\n\n{network.buyer.p2p_address}\n\n{HELP}")
    if sys.stdin.isatty():
        threading.Thread(target=_prompt, args=(commands, over), name="prompt", daemon=True).start()
    try:
        while not over.wait(BLOCK_EVERY_SECONDS):
            commands.answer("mine")
    finally:
        server.shutdown()


def server_settings(network: Network) -> str:
    """The lines that point a server at the LSP's node."""
    lsp = network.lsp
    lines = {
        "LND_GRPC": lsp.grpc_address,
        "LND_TLS_CERT": lsp.tls_certificate,
        "LND_MACAROON": lsp.admin_macaroon,
        "LND_NETWORK": "regtest",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _prompt(commands: Commands, over: threading.Event) -> None:
    while not over.is_set():
        try:
            line = input("> ").strip()
        except EOFError:
            line = "quit"
        if line == "quit":
            over.set()
        elif line:
            try:
                _say(commands.answer(line))
            except NotDone as problem:
                _say(str(problem))


def _control(commands: Commands, over: threading.Event, home: Path) -> ThreadingHTTPServer:
    """A server on 127.0.0.1 that takes commands; where it is and its token are noted in `home`."""
    token = secrets.token_urlsafe()

    class Control(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            # A web page may post to 127.0.0.1 as well, but it does not know the token.
            if not secrets.compare_digest(self.headers.get(TOKEN_HEADER, ""), token):
                self._answer(403, "the token is missing")
                return
            line = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            if line.strip() == "quit":
                over.set()
                self._answer(200, "the playground ends")
                return
            try:
                self._answer(200, commands.answer(line))
            except NotDone as problem:
                self._answer(400, str(problem))

        def _answer(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is logged: the prompt has the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()
    state = {"url": f"http://127.0.0.1:{server.server_port}/", "token": token, "pid": os.getpid()}
    _write(home / STATE, json.dumps(state))
    return server


def _refuse_a_second(home: Path) -> None:
    try:
        ask(home, "help")
    except NotRunning:
        return
    raise AlreadyRunning(home)


def _write(path: Path, text: str) -> None:
    """The file holds the whole text, and only its owner reads it; nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)


def _say(text: str) -> None:
    print(text, flush=True)


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
