"""The admin's first page says how the server and its node are."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django import template
from django.conf import settings
from django.utils import timezone

from orders import queries
from orders.ids import shortened
from orders.models import AlertMute, BooksCheck, ChannelOrder, Heartbeat, Switch, SwitchName
from orders.states import OrderState

register = template.Library()

#: Who reports, and what it is in words. The web process is the one that answers.
_PROCESSES: Final = {"reconcile": "worker", "streams": "streams"}


#: Who reads the reason of a pause, where it is asked for.
_TOLD: Final = {
    SwitchName.SALES: "buyers read it",
    SwitchName.OPENINGS: "staff read it",
    SwitchName.CLOSINGS: "staff read it",
}


@register.inclusion_tag("admin/orders/server_panel.html", takes_context=True)
def server_panel(context: dict[str, Any]) -> dict[str, Any]:
    """The node as last seen, what can be sold, who still reports, which orders wait for a person, and the books."""
    now = timezone.now()
    request = context["request"]
    return {
        "request": request,
        "csrf_token": context.get("csrf_token"),
        "may_switch": request.user.has_perm("orders.change_switch"),
        "node": _node(now),
        "processes": _processes(now),
        "orders": _orders(),
        "switches": _switches(),
        "mutes": AlertMute.objects.filter(lifted_at=None, until__gt=now).count(),
        "books": _books(now),
    }


def _switches() -> list[dict[str, Any]]:
    off = {switch.name: switch for switch in Switch.objects.filter(on=False)}
    return [_switch(name, off.get(name.value)) for name in SwitchName]


def _switch(name: SwitchName, off: Switch | None) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name.value, "label": name.label, "paused": off is not None, "told": _TOLD[name]}
    if off is not None:
        told |= {"reason": shortened(off.reason), "actor": off.actor, "at": off.at}
    return told


def _node(now: datetime) -> dict[str, Any] | None:
    seen = queries.snapshot()
    if seen is None:
        return None
    stock = queries.stock(seen)
    refunds_sat = queries.refund_reserve_sat(stock.owed_back_sat)
    age_seconds = max(0, int((now - seen.at).total_seconds()))
    return {
        "seen": seen,
        "age": _ago(age_seconds),
        "synced": queries.follows_chain(seen, now),
        "reached": age_seconds <= settings.SNAPSHOT_MAX_AGE_SECONDS,
        "kept": f"{seen.required_reserve_sat + settings.ONCHAIN_RESERVE_SAT + refunds_sat:,}",
        "spendable": f"{seen.spendable_sat:,}",
        "promised": f"{stock.promised_sat:,}",
        "available": f"{max(0, stock.room_sat):,}",
        "height": f"{seen.block_height:,}",
    }


def _processes(now: datetime) -> list[dict[str, Any]]:
    beats = {beat.name: beat for beat in Heartbeat.objects.all()}
    told: list[dict[str, Any]] = [{"name": "web", "stale": False, "age": "answers you"}]
    for name in (*_PROCESSES, *sorted(beats.keys() - _PROCESSES.keys())):
        beat = beats.get(name)
        seconds = max(0, int((now - beat.at).total_seconds())) if beat else None
        told.append(
            {
                "name": _PROCESSES.get(name, name),
                "stale": seconds is None or seconds > settings.HEARTBEAT_STALE_SECONDS,
                "age": "has never reported" if seconds is None else f"reported {_ago(seconds)}",
                "detail": shortened(beat.detail) if beat else "",
            }
        )
    return told


def _orders() -> list[dict[str, Any]]:
    orders = ChannelOrder.objects
    counts = [
        ("need a person", "surprise=needs_staff", orders.filter(standing_flags__gt=0).count(), True),
        ("given up", "state__exact=give_up", orders.filter(state=OrderState.GIVE_UP).count(), True),
        ("claimed, to be opened", "state__exact=uri_set", orders.filter(state=OrderState.URI_SET).count(), False),
        ("opening", "state__exact=opening", orders.filter(state=OrderState.OPENING).count(), False),
    ]
    return [{"name": n, "query": q, "count": f"{c:,}", "alarm": alarm and c > 0} for n, q, c, alarm in counts]


def _books(now: datetime) -> dict[str, Any] | None:
    last = BooksCheck.objects.first()
    if last is None:
        return None
    seconds = max(0, int((now - last.at).total_seconds()))
    return {"adds_up": last.adds_up, "words": shortened(last.words), "age": _ago(seconds)}


def _ago(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} s ago"
    minutes = seconds // 60
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago"
