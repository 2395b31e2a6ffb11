"""The wallet: a program that does what it is told, as somebody's phone would."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.regtest.lnd import Lnd
from tests.regtest.processes import Program, ProgramDied, free_port, release_port
from tests.regtest.waiting import until

#: The longest of its answers: it stops all its tasks before it says that it is offline.
_PATIENCE = 60


class Refused(RuntimeError):
    """The wallet did not do it; in its own words."""


class Channel(NamedTuple):
    """A channel as the wallet sees it."""

    point: str
    peer: str
    capacity_sat: int
    announced: bool
    usable: bool
    outbound_msat: int
    inbound_msat: int


class LdkWallet(Program):
    """A node of ldk-node with its defaults: it listens and has no alias, so it takes no announced channel."""

    def __init__(self, program: Path, folder: Path, core_port: int, *, lsp: str = "", token: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__("ldk wallet", folder / "wallet.log")
        self.folder = folder
        self.p2p_host = f"127.0.0.1:{free_port()}"
        self.pubkey = ""
        self._control = ("127.0.0.1", free_port())
        self._command = [
            str(program),
            str(folder / "node"),
            self.p2p_host,
            f"{self._control[0]}:{self._control[1]}",
            str(core_port),
            *([lsp] if lsp else []),  # key@host:port of who it buys from, by LSPS1 and LSPS2
            *([token] if token else []),
        ]

    @property
    def p2p_address(self) -> str:
        """The node's URI, as a buyer types it."""
        return f"{self.pubkey}@{self.p2p_host}"

    def node_log(self) -> str:
        """What its node has written by itself."""
        return (self.folder / "node" / "ldk_node.log").read_text(errors="replace")

    # The program

    def open(self) -> None:
        """The wallet runs, and is online; also once it was killed."""
        self.pubkey = ""
        self.launch(self._command)
        until(self._answers, "the wallet answers")
        self.go_online()

    def close(self) -> None:
        """The wallet is gone, and its ports are free. Repeat: safe."""
        self.kill()
        for port in (int(self.p2p_host.rpartition(":")[2]), self._control[1]):
            release_port(port)

    def _answers(self) -> bool:
        if not self.is_running:
            raise ProgramDied(f"the wallet ended at start:\n{self.log_tail()}")
        with suppress(OSError):
            self.pubkey = self.tell("pubkey")
        return bool(self.pubkey)

    def tell(self, do: str, **particulars: Any) -> Any:
        """What the wallet says when it has done that. Raises: Refused; OSError when it cannot be reached."""
        with socket.create_connection(self._control, timeout=_PATIENCE) as line:
            line.sendall(json.dumps({"do": do, **particulars}).encode() + b"\n")
            with line.makefile("r") as heard:
                answer = json.loads(heard.readline())
        if "refused" in answer:
            raise Refused(f"{do}: {answer['refused']}")
        return answer["done"]

    # What its owner does

    def go_offline(self) -> None:
        """It has left its peers, and its port is closed."""
        self.tell("stop")

    def go_online(self) -> None:
        """It listens again, and follows the chain."""
        self.tell("start")

    def connect(self, lnd: Lnd) -> None:
        """It has called the node, as a wallet does whose own address nobody can reach."""
        self.tell("connect", pubkey=lnd.pubkey, host=lnd.p2p_host)

    def new_address(self) -> str:
        return str(self.tell("new_address"))

    def spendable_sat(self) -> int:
        """What its coins amount to, as far as it has seen the chain just now."""
        self.tell("sync")
        return int(self.tell("balance")["spendable_sat"])

    def send(self, address: str, amount_sat: int) -> str:
        """Its transaction is on the way to the mempool; the id."""
        return str(self.tell("send", address=address, amount_sat=amount_sat))

    def pay(self, invoice: str) -> str:
        """Its payment by Lightning has begun; the id, for `payment`."""
        return str(self.tell("pay", invoice=invoice))

    def receive(self, amount_sat: int | None) -> str:
        """Its invoice, to be paid over a channel that opens just in time (LSPS2); None: of what its payer likes."""
        return str(self.tell("receive", amount_msat=None if amount_sat is None else amount_sat * 1000))

    def receive_held(self, amount_sat: int, payment_hash: str) -> str:
        """The same, of a payment that it holds until its owner says what becomes of it (`claim`, `fail`)."""
        return str(self.tell("receive_held", amount_msat=amount_sat * 1000, hash=payment_hash))

    def claim(self, preimage: str, amount_msat: int) -> None:
        """It has begun to take what it holds. `amount_msat`: what its event said, or more. Raises: Refused."""
        self.tell("claim", preimage=preimage, amount_msat=amount_msat)

    def fail(self, payment_hash: str) -> None:
        """It has begun to give back what it holds. Raises: Refused."""
        self.tell("fail", hash=payment_hash)

    def events(self) -> list[str]:
        """What has happened to it since this was asked, in its own words."""
        return list(self.tell("events"))

    def payment(self, id_: str) -> str:
        """ "Pending", "Succeeded" or "Failed"."""
        return str(self.tell("payment", id=id_))

    def order(self, lsp_balance_sat: int, client_balance_sat: int = 0, *, announce: bool = False) -> dict[str, Any]:
        """It has ordered a channel by LSPS1, over Lightning: what it read of the answer."""
        wanted = {"lsp_balance_sat": lsp_balance_sat, "client_balance_sat": client_balance_sat}
        return dict(self.tell("order", **wanted, expiry_blocks=6_048, announce=announce))

    def order_status(self, id_: str) -> dict[str, Any]:
        """How its order stands, by LSPS1."""
        return dict(self.tell("order_status", id=id_))

    def channel(self, point: str) -> Channel | None:
        """The channel with this funding outpoint, as far as it has seen the chain just now."""
        self.tell("sync")
        channels = [Channel(**each) for each in self.tell("channels")]
        return next((each for each in channels if each.point == point), None)
