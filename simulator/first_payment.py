"""A wallet without a channel is paid: what it, its payer and our node say and do, step by step."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from django.apps import apps
from django.core.management.base import CommandError

from simulator.control import Control

#: Of a payment that its payer splits.
_PARTS: Final = 2
SIZE_SAT: Final = 200_000
_FRIEND_SAT: Final = 2_000_000
_MESSAGE_TYPE: Final = 37_913
#: Somebody hears of payments some seconds after the server is there.
_PATIENCE_SECONDS: Final = 60
_ASK_SECONDS: Final = 3
_ENDED: Final = ("SUCCEEDED", "FAILED")
_AT_REST: Final = ("open", "refunded")

Said = dict[str, Any]


class FirstPayment:
    """One wallet, and a friend who pays it. Every method raises CommandError where the server does not do its part."""

    def __init__(self, control: Control, say: Callable[[str], None], *, takes: str) -> None:
        self._control, self._say = control, say
        name = secrets.token_hex(2)
        self._wallet, self._friend = f"wallet-{name}", f"friend-{name}"
        self._takes = takes
        self._pubkey = ""

    def run(self) -> str:
        """The friend has paid, or has everything back; the id of the order that came of it."""
        self._begin()
        bought = self._buy()
        self._pay(self._ask(bought))
        return self._end()

    def _begin(self) -> None:
        """There is a service that sells them, a wallet without a channel, and a friend who has one."""
        services: Any = apps.get_model("orders", "Service").objects.filter(on_sale=True)
        services.update(sells_jit=True)
        self._say("staff say that channels are sold just in time (the admin, under Services)")
        wallet = self._control.change_customer(
            self._wallet, presence="online", accepts_zero_conf=True, takes_less=True, takes=self._takes
        )
        self._pubkey = wallet.pubkey
        self._say(f"a wallet begins: its node is {wallet.pubkey}, and it has no channel")
        self._control.open_channel(self._friend, _FRIEND_SAT, by_us=False)
        self._control.mine(6)
        self._say(f"a friend of its has a channel of {_FRIEND_SAT} sat with our node")

    # The wallet and our node, by messages

    def _buy(self) -> Said:
        protocols = self._until_sold()
        self._say(f"the wallet connects to our node, and asks what it speaks (LSPS): {protocols}")
        [entry, *_] = self._call("lsps2.get_info", {})["opening_fee_params_menu"]
        self._tell("lsps2.get_info", entry)
        params = {"opening_fee_params": entry, "payment_size_msat": str(SIZE_SAT * 1000)}
        bought = self._call("lsps2.buy", params)
        self._tell("lsps2.buy", bought)
        self._fee_msat = max(int(entry["min_fee_msat"]), -(-SIZE_SAT * 1000 * entry["proportional"] // 10**6))
        return bought

    def _until_sold(self) -> list[int]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            protocols: list[int] = self._call("lsps0.list_protocols", {})["protocols"]
            if 2 in protocols:
                return protocols
            time.sleep(1)
        raise CommandError(f"No channel is sold just in time after {_PATIENCE_SECONDS} s: `manage.py doctor` says why.")

    def _call(self, method: str, params: Said) -> Said:
        """The result; it is asked for again where no answer comes."""
        request = {"jsonrpc": "2.0", "id": secrets.token_hex(8), "method": method, "params": params}
        deadline, asked_at = time.monotonic() + _PATIENCE_SECONDS, -_PATIENCE_SECONDS * 1.0
        while time.monotonic() < deadline:
            if time.monotonic() > asked_at + _ASK_SECONDS:
                asked_at = time.monotonic()
                self._control.say_to_node(self._wallet, json.dumps(request).encode(), type=_MESSAGE_TYPE)
            if (answer := self._answer(str(request["id"]))) is not None:
                return answer
            time.sleep(0.1)
        raise CommandError(f"The server does not answer {method}: `make run` first.")

    def _answer(self, number: str) -> Said | None:
        heard = (json.loads(data) for kind, data in self._control.heard(self._wallet) if kind == _MESSAGE_TYPE)
        said = next((each for each in heard if each["id"] == number), None)
        if said is not None and "error" in said:
            raise CommandError(f"The server refuses: {said['error']}")
        return None if said is None else dict(said["result"])

    def _tell(self, method: str, answer: Said) -> None:
        lines = (f"    {name}: {str(value)[:60]}" for name, value in answer.items())
        self._say("\n".join([method, *lines]))

    # The payment

    def _ask(self, bought: Said) -> str:
        """The wallet's invoice."""
        scid = bought["jit_channel_scid"]
        block, index, output = map(int, scid.split("x"))
        number, blocks = block << 40 | index << 16 | output, bought["lsp_cltv_expiry_delta"]
        invoice = self._control.ask_for_payment(self._wallet, SIZE_SAT * 1000, scid=number, cltv_blocks=blocks)
        self._say(f"the wallet's invoice of {SIZE_SAT} sat leads over our node and {scid}, a channel that there is not")
        self._say(f"    {invoice[:60]}…")
        return invoice

    def _pay(self, invoice: str) -> None:
        paid = self._control.pay(invoice, payer=self._friend, parts=_PARTS)
        self._say(f"the friend pays, in {_PARTS} parts; our node holds them, and a channel is opened")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while paid.state not in _ENDED and time.monotonic() < deadline:
            time.sleep(0.1)
            paid = self._control.payment(paid.id)
        if paid.state not in _ENDED:
            raise CommandError(f"The payment is still {paid.state} after {_PATIENCE_SECONDS} s.")
        for part in self._control.parts().parts:
            if part.payment_hash == paid.payment_hash:
                kept = f"{part.passed_msat} msat went on, {part.in_msat - part.passed_msat} are our fee"
                self._say(f"    a part of {part.in_msat} msat: {kept if part.passed_msat else part.failure}")
        self._say("the friend's payment has " + ("arrived" if paid.state == "SUCCEEDED" else f"failed: {paid.failure}"))

    def _end(self) -> str:
        """The order is at rest; its id."""
        orders: Any = apps.get_model("orders", "ChannelOrder").objects.filter(node_pubkey=self._pubkey)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            order = orders.first()
            if order is not None and order.state in _AT_REST:
                self._say_what_it_has(order)
                return str(order.pk)
            time.sleep(0.2)
        raise CommandError(f"The channel did not come to rest in {_PATIENCE_SECONDS} s.")

    def _say_what_it_has(self, order: Any) -> None:
        if order.state == "open":
            has_sat = SIZE_SAT - self._fee_msat // 1000
            self._say(
                f"the wallet has {has_sat} sat in a channel of {order.lsp_balance_sat} sat: it paid for its channel"
            )
        else:
            self._say("the channel was left again, and never published; the friend has all of it back")
