"""What each attacker does, step by step, and what he has spent and locked."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final
from urllib.parse import quote_plus

from tests.attack.asking import Peer
from tests.attack.client import Answer, Client
from tests.attack.ground import Ground
from tests.attack.shop import CALM_SAT_PER_KW
from tests.simulator.network import SimulatedPayment

LARGEST_SAT: Final = 16_000_000
SMALLEST_SAT: Final = 100_000
SPIKE: Final = 300


@dataclass
class Ledger:
    """What it was to him. What it was to others, the runner sees."""

    asked: int = 0
    refused: int = 0
    unanswered: int = 0
    sent_on_chain_sat: int = 0
    most_locked_sat: int = 0
    payments: list[tuple[SimulatedPayment, int]] = field(default_factory=list)  # and how much each is
    paid_sat: Counter[str] = field(default_factory=Counter)
    orders: list[str] = field(default_factory=list)
    gained: list[str] = field(default_factory=list)  # what nobody may gain

    def look_at_payments(self) -> None:
        """What has become of them, by state, in satoshis."""
        self.paid_sat = Counter()
        for payment, price_sat in self.payments:
            self.paid_sat[payment.status()] += price_sat


class Attacker:
    """One of them. `step` does one thing; `end` puts back what is his to put back."""

    name: ClassVar[str]
    pause_seconds: ClassVar[float] = 0.3
    #: Whether the others are still what they are beside him.
    is_sociable: ClassVar[bool] = True

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.ledger = Ledger()

    def step(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """He goes."""

    def somebody(self) -> Client:
        return self.ground.shop.client(self.ground.attackers_address())

    def told(self, answer: Answer) -> bool:
        """Whether he got what he asked for."""
        self.ledger.asked += 1
        self.ledger.refused += answer.status != 200
        return answer.status == 200

    def bought(self, size_sat: int, **more: Any) -> dict[str, Any] | None:
        answer = self.somebody().buy(size_sat, **more)
        if not self.told(answer):
            return None
        self.ledger.orders.append(answer.said["order_id"])
        return dict(answer.said)

    def grabbed(self, **more: Any) -> dict[str, Any] | None:
        """As much as is sold, in one order."""
        size_sat = LARGEST_SAT
        while size_sat >= SMALLEST_SAT:
            quote = self.bought(size_sat, **more)
            if quote is not None:
                return quote
            size_sat //= 3
        return None

    def pay(self, quote: dict[str, Any]) -> None:
        paid = self.ground.control.pay(quote["ln_invoice"])
        self.ledger.payments.append((SimulatedPayment(self.ground, paid.id), quote["total_amount"]))


class UnpaidOrders(Attacker):
    """Takes all that is sold, and pays nothing."""

    name = "unpaid"

    def step(self) -> None:
        self.grabbed()


class HeldUnclaimed(Attacker):
    """Pays, and claims nothing: each satoshi comes back."""

    name = "unclaimed"

    def step(self) -> None:
        quote = self.grabbed()
        if quote is not None:
            self.pay(quote)


class _Claiming(Attacker):
    """Pays for channels to nodes of his own, that behave badly."""

    size_sat: ClassVar[int] = SMALLEST_SAT
    behaviour: ClassVar[dict[str, object]] = {}

    def step(self) -> None:
        quote = self.bought(self.size_sat, node_uri=self.node_uri())
        if quote is not None:
            self.pay(quote)

    def node_uri(self) -> str:
        return self.ground.customer(self.name, **self.behaviour)


class DeadHosts(_Claiming):
    """Their hosts swallow packets."""

    name = "dead-hosts"
    behaviour = {"presence": "dead"}


class StallingPeers(_Claiming):
    """They negotiate, and withhold their signature."""

    name = "stalling"
    pause_seconds = 1.0
    behaviour = {"withholds_signature": True}


class FlappingPeers(_Claiming):
    """They vanish in the middle, come back, and vanish."""

    name = "flapping"
    pause_seconds = 0.7

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._peers: list[str] = []

    def node_uri(self) -> str:
        moment = self.ground.rng.choice(["open", "verify"])
        name = f"{self.name}-{self.ground.number()}"
        found = self.ground.control.change_customer(name, presence="online", pending_limit=50, vanishes=moment)
        self._peers.append(name)
        return f"{found.pubkey}@{found.host}"

    def step(self) -> None:
        super().step()
        if self._peers:
            again = self.ground.rng.choice(self._peers)
            moment = self.ground.rng.choice(["open", "verify"])
            presence = self.ground.rng.choice(["online", "offline"])
            self.ground.control.change_customer(again, presence=presence, vanishes=moment)


class SlowBodies(Attacker):
    """Sends a byte now and then, on as many connections as he gets."""

    name = "slow"
    pause_seconds = 0.05
    most = 200

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._lines: list[socket.socket] = []

    def step(self) -> None:
        if len(self._lines) < self.most:
            line = socket.create_connection(("127.0.0.1", self.ground.shop.port), timeout=5)
            line.sendall(b"POST /channel/buy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n")
            line.sendall(self.ground.rng.choice([b"", b"\r\n{"]))
            self._lines.append(line)
            self.ledger.asked += 1
        line = self.ground.rng.choice(self._lines)
        try:
            line.sendall(b"a")
        except OSError:
            self._lines.remove(line)
            self.ledger.refused += 1

    def end(self) -> None:
        for line in self._lines:
            line.close()


class FeeWatcher(Attacker):
    """Buys while fees are low, and claims in a spike. What he gains is the difference. The market is his: it spikes."""

    name = "fee-watcher"
    pause_seconds = 1.0
    is_sociable = False  # nobody else buys at such fees

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._waiting: list[str] = []

    def step(self) -> None:
        quote = self.bought(SMALLEST_SAT * 2)
        if quote is not None:
            self.pay(quote)
            self._waiting.append(quote["order_id"])
        if self.ground.rng.random() < 0.2:
            self._spike()

    def _spike(self) -> None:
        self.ground.control.set_fees(CALM_SAT_PER_KW * SPIKE)
        for order_id in self._waiting:
            uri = self.ground.customer(self.name)
            self.told(self.somebody().claim(order_id, uri))
        self._waiting.clear()
        time.sleep(4)
        self.ground.control.set_fees(CALM_SAT_PER_KW)

    def end(self) -> None:
        self.ground.control.set_fees(CALM_SAT_PER_KW)


class DustDeposits(Attacker):
    """Pays an order on chain in hundreds of outputs, each of which is to be looked at."""

    name = "dust"
    pause_seconds = 2.0
    outputs: ClassVar[int] = 100
    dust_sat: ClassVar[int] = 546

    def step(self) -> None:
        quote = self.bought(SMALLEST_SAT)
        if quote is not None and quote["btc_address"]:
            self.ground.control.deposit(*[(quote["btc_address"], self.dust_sat)] * self.outputs)
            self.ledger.sent_on_chain_sat += self.outputs * self.dust_sat


class LateDeposits(Attacker):
    """Pays on chain what was paid over Lightning already, or is over."""

    name = "late"
    pause_seconds = 2.0

    def step(self) -> None:
        quote = self.bought(SMALLEST_SAT, node_uri=self.ground.customer(self.name))
        if quote is None or not quote["btc_address"]:
            return
        self.pay(quote)
        time.sleep(self.ground.rng.random())
        self.ground.control.deposit((quote["btc_address"], quote["total_amount"]))
        self.ledger.sent_on_chain_sat += quote["total_amount"]


class PasswordGuesser(Attacker):
    """Guesses, from all his addresses."""

    name = "guesser"
    pause_seconds = 0.05

    def step(self) -> None:
        somebody = self.somebody()
        page = somebody.ask("GET", "/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', str(page.said))
        cookie = re.search(r"csrftoken=\w+", page.headers.get("Set-Cookie", ""))
        if token is None or cookie is None:
            self.told(page)
            return
        guess = f"csrfmiddlewaretoken={token[1]}&username=admin&password=guess-{self.ground.number()}"
        answer = somebody.ask(
            "POST", "/admin/login/", guess,
            Cookie=cookie[0], Content_Type="application/x-www-form-urlencoded", Referer="http://127.0.0.1/admin/login/",
        )  # fmt: skip
        self.told(answer)
        if answer.status == 302:
            self.ledger.gained.append("a session of staff")


class InvoiceReader(Attacker):
    """Has seen the invoices of honest buyers, and wants their channels."""

    name = "reader"

    def step(self) -> None:
        if not self.ground.invoices:
            return
        thief = self.ground.customer(self.name)
        for guess in possible_ids(self.ground.rng.choice(self.ground.invoices)):
            shown = self.somebody().ask("GET", f"/channel/order?order_id={quote_plus(guess)}")
            claimed = self.somebody().claim(guess, thief)
            if self.told(claimed) or shown.status == 200:
                self.ledger.gained.append(f"the order of an invoice, by {guess}")


def possible_ids(invoice: str) -> list[str]:
    """What an invoice's words and numbers say that might be an order's id."""
    fields = read_invoice(invoice)
    memo = fields.get("d", b"").decode(errors="replace")
    runs = [*re.findall(r"[0-9a-fA-F-]{32,}", memo), *(fields[name].hex() for name in ("p", "s") if name in fields)]
    return [memo.rpartition(" ")[2], *(as_id(run) for run in runs)]


def as_id(text: str) -> str:
    digits = text.replace("-", "").lower()[:32]
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def read_invoice(invoice: str) -> dict[str, bytes]:
    """The fields of a payment request (BOLT 11), by their letters."""
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    words = [letters.index(each) for each in invoice.rpartition("1")[2][:-6]][7:-104]
    fields = {}
    while words:
        letter, length = letters[words[0]], words[1] * 32 + words[2]
        value, words = words[3 : 3 + length], words[3 + length :]
        bits = "".join(f"{word:05b}" for word in value)
        fields[letter] = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
    return fields


class Messages(Attacker):
    """Says whatever may hurt over Lightning itself: a key costs nothing, so he is as many peers as he likes.

    One floods; one sends what is no request, or as large as a message can be; others order all that is sold, each with
    a key of its own; and one has seen honest invoices, and asks for their orders.
    """

    name = "messages"
    pause_seconds = 0.2
    flood: ClassVar[int] = 100
    most_bytes: ClassVar[int] = 65_533

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._flooder, self._writer, self._thief = (self._peer(what) for what in ("flooder", "writer", "thief"))
        self._deeds = (self._floods, self._writes, self._orders, self._steals)

    def _peer(self, what: str) -> Peer:
        return Peer(self.ground.control, f"{self.name}-{what}-{self.ground.number()}")

    def step(self) -> None:
        self.ground.rng.choice(self._deeds)()

    def _floods(self) -> None:
        for _ in range(self.flood):
            self._flooder.request("lsps1.get_info")
        self.ledger.asked += self.flood
        self._hear(self._flooder)

    def _writes(self) -> None:
        for payload in self._nonsense():
            self._writer.say(payload)
            self.ledger.asked += 1
        self._hear(self._writer)

    def _nonsense(self) -> Iterator[bytes]:
        rng = self.ground.rng
        yield rng.randbytes(rng.randrange(200))
        yield b'{"jsonrpc":"2.0","id":"a","method":"lsps1.get_order","params":{"order_id":' + b"[" * 60_000
        yield b'{"jsonrpc":"2.0","id":"' + b"a" * (self.most_bytes - 60) + b'","method":"x","params":{}}'
        yield b"\x00" * self.most_bytes
        yield json.dumps({"id": rng.choice([1, None, {}, "a"]), "method": rng.choice([1, "lsps1.get_order"])}).encode()

    def _orders(self) -> None:
        peer = self._peer("buyer")
        order = {**ORDER, "lsp_balance_sat": str(some_size(self.ground.rng))}
        answer = peer.asks("lsps1.create_order", seconds=5, until=self.ground.ends_at, **order)
        self.ledger.asked += 1
        if answer is None:
            self.ledger.unanswered += 1
        elif "result" in answer:
            self.ledger.orders.append(answer["result"]["order_id"])
        else:
            self.ledger.refused += 1

    def _steals(self) -> None:
        for guess in possible_ids(self.ground.rng.choice(self.ground.invoices)) if self.ground.invoices else ():
            answer = self._thief.asks("lsps1.get_order", seconds=5, until=self.ground.ends_at, order_id=guess)
            self.ledger.asked += 1
            self.ledger.refused += answer is not None and "error" in answer
            if answer is not None and "result" in answer:
                self.ledger.gained.append(f"a look at the order of an invoice, by {guess}")

    def _hear(self, peer: Peer) -> None:
        self.ledger.refused += sum("error" in answer for answer in peer.news())


ORDER: Final[dict[str, Any]] = {
    "client_balance_sat": "0",
    "required_channel_confirmations": 1,
    "funding_confirms_within_blocks": 6,
    "channel_expiry_blocks": 1008,
    "announce_channel": False,
}


def some_size(rng: random.Random) -> int:
    """Of a channel: the largest most often."""
    return rng.choice([LARGEST_SAT, LARGEST_SAT, LARGEST_SAT // 4, SMALLEST_SAT])


EVERYONE: Final[dict[str, Callable[[Ground], Attacker]]] = {
    kind.name: kind
    for kind in (
        UnpaidOrders, HeldUnclaimed, DeadHosts, StallingPeers, FlappingPeers, SlowBodies, FeeWatcher, DustDeposits,
        LateDeposits, PasswordGuesser, InvoiceReader, Messages,
    )
}  # fmt: skip
