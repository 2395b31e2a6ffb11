"""An old shop goes on with the code of today: what is asked of that code is what other programs ask of it too.

Commands, addresses, the tasks that the queue names, `reconcile`, and columns of tables: none of the rooms inside.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from typing import Any

from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ, Schedule

from orders import queries, reconcile
from orders.advance import advance
from simulator.channels import ABANDONED, Channel
from simulator.world import World
from tests.property.inside import InsideNode
from tests.upgrade import database
from tests.upgrade.dump import Dump

HOUR, DAY = 3600, 24 * 3600


@dataclass(frozen=True)
class Traces:
    """What the node has of the orders."""

    fundings: dict[str, list[str]]  # by order: in a block, or waiting for one
    channels: dict[str, list[Channel]]  # by order: of a funding that is in a block, open or closed
    invoices: dict[str, str]  # by payment hash
    leases: int


def traces(world: World) -> Traces:
    fundings, channels = defaultdict(list), defaultdict(list)
    for txid, label in world.wallet.labels.items():
        if label.startswith("funding:") and (txid in world.chain.mined or txid in world.chain.mempool):
            fundings[label.removeprefix("funding:")].append(txid)
    for (txid, _), channel in world.channels.by_point.items():
        if channel.memo and txid in world.chain.mined and channel.close_type != ABANDONED:
            channels[channel.memo].append(channel)
    invoices = {payment_hash: invoice.stage.lower() for payment_hash, invoice in world.invoices.by_hash.items()}
    return Traces(fundings, channels, invoices, len(world.wallet.active_leases(world.now())))


class OldShop:
    """Its orders are called by their nicknames, which are those of their customers too."""

    def __init__(self, dump: Dump, node: InsideNode, migrate: Callable[[], None]) -> None:
        self.dump, self.node = dump, node
        self.migrate = migrate  # the database is as the code of today wants it
        self.client = Client()

    @property
    def control(self) -> Any:
        return self.node.control

    # Staff

    def command(self, name: str, *arguments: str) -> str:
        """What the command says, also where it fails."""
        out = StringIO()
        with suppress(CommandError):
            call_command(name, *arguments, stdout=out)
        return out.getvalue()

    def books(self) -> dict[str, Any]:
        """What a look at them finds."""
        out = StringIO()
        with suppress(SystemExit):
            call_command("check_books", "--json", stdout=out)
        return dict(json.loads(out.getvalue()))

    # Buyers

    def pay(self, quote: dict[str, Any]) -> None:
        self.control.pay(quote["ln_invoice"], payer="buyer")

    def close_channel(self, name: str) -> None:
        """The order's customer closes it."""
        (channel,) = self.traces().channels[self.dump.orders[name]]
        self.control.close_channel(f"{channel.point[0]}:{channel.point[1]}")

    def ask_again(self) -> tuple[int, dict[str, Any]]:
        """What the buyer is answered who sends his request once more, with the key that he sent before the upgrade."""
        asked = self.dump.repeated
        headers = {"Idempotency-Key": asked["key"]}
        answer = self.client.post("/channel/buy", asked["body"], content_type="application/json", headers=headers)
        return answer.status_code, dict(answer.json())

    def quote(self, name: str) -> dict[str, Any]:
        """What the order's buyer may read of it."""
        return dict(self.client.get("/channel/order", {"order_id": self.dump.orders[name]}).json())

    def sales_paused(self) -> str:
        """Why, as buyers read it; "": they are not."""
        return str(self.client.get("/node/info").json()["paused"])

    def claim(self, name: str, **more: Any) -> None:
        customer = self.control.customer(name)
        uri = f"{customer.pubkey}@{customer.host}"
        body = {"order_id": self.dump.orders[name], "node_uri": uri, **more}
        answer = self.client.post("/channel/manual_finalise", body, content_type="application/json")
        assert answer.status_code == 200, (name, answer.content)

    def everybody_is_well(self) -> None:
        """Every customer is there and wants a channel; blocks are cheap."""
        self.control.set_fees(2_530, 253)
        for customer in self.control.customers():
            self.control.change_customer(customer.name, presence="online", refusal="", pending_limit=50)

    # Our engines

    def turn(self) -> None:
        """The pass of every minute, and the queue worked off as its worker does it; what waits for peers, after it."""
        reconcile.reconcile()
        for row in OrmQ.objects.order_by("id"):
            task = row.task
            row.delete()
            import_string(task["func"])(*task["args"], **task["kwargs"])
        for order_id in queries.due_ids(timezone.now()):
            advance(order_id)

    def tasks(self) -> list[str]:
        """What the queue and the schedule of the old server name, by dotted path."""
        return [*(row.task["func"] for row in OrmQ.objects.all()), *Schedule.objects.values_list("func", flat=True)]

    def go_on(self) -> None:
        """Blocks come, enough of them for what waits to be deep, and the engines turn, until nothing changes."""
        journalled = -1
        for _ in range(20):
            self.control.mine(6)
            self.hurry()
            self.turn()
            before, journalled = journalled, database.rows()["orders_orderevent"]
            if journalled == before:
                return
        raise AssertionError("the orders never come to rest")

    def hurry(self) -> None:
        """Every pause of an order is over."""
        with connection.cursor() as cursor:
            cursor.execute("UPDATE orders_channelorder SET due_at = now() WHERE due_at IS NOT NULL")

    def age(self, seconds: int) -> None:
        """So much time has passed, for the node and for us."""
        self.control.pass_time(seconds)
        database.later(-seconds)

    # What is true

    def order(self, name: str) -> Any:
        return apps.get_model("orders", "ChannelOrder").objects.get(pk=self.dump.orders[name])

    def traces(self) -> Traces:
        return self.node.look(traces)


def person_because(order: Any) -> str:
    """Why the order waits for a person, each reason on a line; "": it does not."""
    return "\n".join(flag.words for flag in order.standing)
