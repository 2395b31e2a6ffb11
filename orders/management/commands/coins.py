"""`manage.py coins`: what lies in the wallet, what can be sold of it at once, and coins of better sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Max, Min

from lightning import connection as lightning
from lightning.errors import LightningError
from lightning.node import LndNode
from orders import queries
from orders.errors import OrderError
from orders.models import WalletTransaction
from orders.operations import selling, shaping
from orders.story import sat
from orders.wallet import inventory, reshaping, shape
from orders.wallet.inventory import Aside
from orders.wallet.reshaping import Means, NoPlan, Plan

_WHY: Final = {
    Aside.LEASED: "of transactions under way",
    Aside.YOUNG: "not deep enough yet",
    Aside.NESTED: "native segwit inside of P2SH: send them to a native address",
    Aside.FOREIGN: "imported: this wallet has no key of them",
}
_SHOWN: Final = 8
_WEIGHT_OF_A_VBYTE: Final = 250  # sat/kw in a sat/vbyte


class Command(BaseCommand):
    """Says what there is and what it would do; with `--yes` it does it, and goes on where it was left."""

    help = "Lists the wallet's coins by what they are good for, and splits or consolidates them."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--split", type=int, metavar="N", help="make N coins of the biggest spare ones")
        which.add_argument("--consolidate", action="store_true", help="make one coin of the small ones")
        parser.add_argument("--each", type=int, metavar="SAT", help="with --split: the size of each")
        parser.add_argument(
            "--below", type=int, metavar="SAT_PER_VBYTE", help="with --consolidate: only while fees are below this"
        )
        parser.add_argument(
            "--smaller-than",
            type=int,
            metavar="SAT",
            help="with --consolidate: which coins are small; else those below the smallest channel on sale",
        )
        parser.add_argument("--yes", action="store_true", help="do it; without this it is only said")

    def handle(self, *args: Any, **options: Any) -> None:
        _require_that_they_go_together(options)
        node = lightning.node()
        try:
            self._go_on(node)
            self._list(node)
            if options["split"] or options["consolidate"]:
                self._shape(options, node)
        except LightningError as error:
            raise CommandError(f"The node cannot be asked, or did not answer: {error}") from error
        except (OrderError, NoPlan) as error:
            raise CommandError(str(error)) from error

    def _go_on(self, node: LndNode) -> None:
        left = shaping.go_on(node)
        if left is not None:
            self.stdout.write(f"under way     {_named(left)}")

    def _list(self, node: LndNode) -> None:
        means, seen = shaping.means(node), queries.snapshot()
        assert seen is not None
        found, stock = inventory.take(node), queries.stock(seen)
        self._row("deep", [coin.amount_sat for coin in found.deep], "can fund channels")
        for why, (count, total_sat) in found.aside.items():
            self.stdout.write(f"{why:<10}{count:>6,}{sat(total_sat):>20}  {_WHY[why]}")
        self.stdout.write(f"{'promised':<16}{sat(stock.promised_sat):>20}  to open orders")
        self.stdout.write(f"{'largest':<16}{sat(selling.largest_sat(seen, stock)):>20}  channel that can be sold now")
        left = shape.without([coin.amount_sat for coin in means.coins], stock.promised_sat)
        for line in _at_once(left, seen.estimate_sat_per_kw):
            self.stdout.write(line)

    def _row(self, name: str, amounts_sat: list[int], words: str) -> None:
        self.stdout.write(f"{name:<10}{len(amounts_sat):>6,}{sat(sum(amounts_sat)):>20}  {words}")
        if amounts_sat:
            biggest = sorted(amounts_sat, reverse=True)
            more = f" and {len(biggest) - _SHOWN:,} more" if len(biggest) > _SHOWN else ""
            self.stdout.write(f"{'':<10}{', '.join(f'{amount:,}' for amount in biggest[:_SHOWN])}{more}")

    def _shape(self, options: dict[str, Any], node: LndNode) -> None:
        plan = _plan(shaping.means(node), options)
        self.stdout.write(_told(plan))
        if not options["yes"]:
            self.stdout.write("nothing was done; --yes does it")
            return
        self.stdout.write(f"published     {_named(shaping.carry_out(plan, node))}")


def _require_that_they_go_together(options: dict[str, Any]) -> None:
    if options["each"] is not None and not options["split"]:
        raise CommandError("--each goes with --split.", returncode=2)
    if (options["below"] is None) is bool(options["consolidate"]):
        raise CommandError("--consolidate and --below go together.", returncode=2)
    if options["smaller_than"] is not None and not options["consolidate"]:
        raise CommandError("--smaller-than goes with --consolidate.", returncode=2)


def _plan(means: Means, options: dict[str, Any]) -> Plan:
    sizes = queries.services_on_sale().aggregate(smallest=Min("min_channel_sat"), largest=Max("max_channel_sat"))
    if options["split"]:
        most_sat = (sizes["largest"] or 0) + shape.fee_sat(
            shape.FRAME_WEIGHT + shape.INPUT_WEIGHT, 4 * means.sat_per_kw
        )
        return reshaping.split(means, count=options["split"], each_sat=options["each"], at_most_sat=most_sat)
    if means.sat_per_kw >= options["below"] * _WEIGHT_OF_A_VBYTE:
        now = means.sat_per_kw / _WEIGHT_OF_A_VBYTE
        raise NoPlan(f"Fees are at {now:.1f} sat/vbyte, not below {options['below']}.")
    return reshaping.consolidation(means, smaller_than_sat=options["smaller_than"] or sizes["smallest"] or 0)


def _at_once(left_sat: list[int], sat_per_kw: int) -> Iterator[str]:
    """The channels that could be opened beside each other, a coin for each, without waiting for change."""
    fee_sat = shape.fee_sat(shape.FRAME_WEIGHT + shape.INPUT_WEIGHT, sat_per_kw)
    sizes = [amount_sat - fee_sat for amount_sat in left_sat if amount_sat > fee_sat]
    for service in queries.services_on_sale():
        fitting = [size for size in sizes if size >= service.min_channel_sat]
        yield f"at once   {len(fitting):>6,}{'':<20}  channels of {service} from {sat(service.min_channel_sat)} on"
        if fitting:
            yield f"{'':<10}up to {', '.join(f'{min(size, service.max_channel_sat):,}' for size in fitting[:_SHOWN])}"


def _told(plan: Plan) -> str:
    made = ", ".join(f"{amount:,}" for amount in plan.outputs_sat[:_SHOWN])
    more = f" and {len(plan.outputs_sat) - _SHOWN:,} more" if len(plan.outputs_sat) > _SHOWN else ""
    coins = "1 coin becomes" if len(plan.inputs) == 1 else f"{len(plan.inputs):,} coins become"
    return f"{plan.kind:<14}{coins} {len(plan.outputs_sat):,}: {made}{more}; {sat(plan.fee_sat)}"


def _named(row: WalletTransaction) -> str:
    return f"{row.get_kind_display().lower()} {row.txid} {row.get_state_display().lower()}"
