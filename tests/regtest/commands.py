"""What a person can tell the playground to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from inspect import signature

import grpc

from tests.regtest.btcd import Refused
from tests.regtest.lnd import Lnd
from tests.regtest.network import Network
from tests.regtest.payment import IN_FLIGHT, SUCCEEDED
from tests.regtest.waiting import NeverHappened

HELP = """\
Commands:
  pay INVOICE          the buyer pays a Lightning invoice
  send ADDRESS SAT     the buyer pays on-chain; mine blocks to confirm it
  mine [N]             N new blocks (1)
  balances             what the buyer and the LSP have
  channels             the buyer's channels
  address              the buyer's node, to have a channel opened to
  quit                 the end of the playground, and of all it holds
"""

#: A hold invoice is settled when the channel opens, which may need a click: then the prompt is not kept waiting.
_PAYMENT_SECONDS = 5


class NotDone(RuntimeError):
    """There is no such command, or it failed; the message says which."""


class Commands:
    """The commands, one at a time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._one_at_a_time = threading.Lock()

    def answer(self, line: str) -> str:
        """The command is done; what to tell the person. Raises: NotDone."""
        word, *arguments = line.split() or ["help"]
        known: dict[str, Callable[..., str]] = {
            "pay": self._pay,
            "send": self._send,
            "mine": self._mine,
            "balances": self._balances,
            "channels": self._channels,
            "address": self._address,
            "help": self._help,
        }
        if word not in known:
            raise NotDone(f"there is no command {word!r}\n{HELP}")
        try:
            signature(known[word]).bind(*arguments)
        except TypeError:
            raise NotDone(f"{word} takes other arguments\n{HELP}") from None
        try:
            with self._one_at_a_time:
                return known[word](*arguments)
        except grpc.RpcError as refusal:
            raise NotDone(f"the node refuses: {refusal.details()}") from None
        except (ValueError, Refused, NeverHappened) as problem:
            raise NotDone(f"{word}: {problem}") from None

    def _pay(self, invoice: str) -> str:
        payment = self._network.buyer.pay(invoice.lower().removeprefix("lightning:"))
        with suppress(NeverHappened):  # said below
            payment.wait(_PAYMENT_SECONDS)
        if payment.status() == SUCCEEDED:
            return f"paid; preimage {payment.preimage}"
        if payment.status() == IN_FLIGHT:
            payment.forget()
            return "on its way; the receiver holds it, or has not answered yet"
        raise NotDone(f"not paid: {payment.failure}")

    def _send(self, address: str, amount: str) -> str:
        txid = self._network.buyer.send_coins(address, _number(amount))
        return f"sent; unconfirmed transaction {txid}"

    def _mine(self, blocks: str = "1") -> str:
        self._network.mine(_number(blocks))
        return f"the chain has {self._network.chain.height} blocks"

    def _balances(self) -> str:
        return "\n".join(self._balance(node) for node in self._network.nodes.values())

    def _balance(self, node: Lnd) -> str:
        confirmed, unconfirmed, channels = node.balance()
        waiting = f" and {unconfirmed:,} unconfirmed" if unconfirmed else ""
        return f"{node.name}: {confirmed:,} sat on-chain{waiting}, {channels:,} sat in channels"

    def _channels(self) -> str:
        buyer = self._network.buyer
        pending = buyer.pending_channels().pending_open_channels
        lines = [
            f"{each.channel_point}: {each.capacity:,} sat, {each.local_balance:,} ours, {each.remote_balance:,} theirs,"
            f" {'active' if each.active else 'inactive'}, {'private' if each.private else 'public'}"
            for each in buyer.channels()
        ]
        lines += [f"{each.channel.channel_point}: {each.channel.capacity:,} sat, pending" for each in pending]
        return "\n".join(lines)

    def _address(self) -> str:
        return self._network.buyer.p2p_address

    def _help(self) -> str:
        return HELP


def _number(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not digits.isdecimal():
        raise NotDone(f"{text!r} is not a number")
    return int(digits)
