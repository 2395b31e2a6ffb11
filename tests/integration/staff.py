"""Staff at their browsers."""

from __future__ import annotations

import html
import re
from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from orders import keys
from orders.models import ChannelOrder, OrderEvent
from tests.factories import OrderFactory

LIST = "/admin/orders/channelorder/"
STEER = "/admin/orders/channelorder/steer/"


def staff(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(order: ChannelOrder) -> str:
    return f"{LIST}{keys.reference(order.pk)}/change/"


def seen(answer: Any) -> str:
    """The page as a reader sees it."""
    assert answer.status_code == 200, answer
    text = re.sub(r"<(script|style).*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def listed(client: Client, **query: Any) -> set[str]:
    """The ids of the orders in the list, on one page."""
    return {str(order.pk) for order in client.get(LIST, {"all": "", **query}).context["cl"].result_list}


def do(client: Client, deed: str, *orders: ChannelOrder, **more: str) -> str:
    """What staff read after a deed, asked or done."""
    back = page_of(orders[0])
    answer = client.post(STEER, {"deed": deed, "order": [o.pk for o in orders], "back": back, **more}, follow=True)
    return seen(answer)


def journal(order: ChannelOrder) -> list[tuple[str, str]]:
    rows = OrderEvent.objects.filter(order=order).order_by("version")
    return list(rows.values_list("cause", "actor"))


def every_kind() -> list[ChannelOrder]:
    """An order in each state, and one of each surprise."""
    traits = ("paid_lightning", "paid_onchain", "uri_set", "opening", "open", "closing", "closed", "give_up")
    orders = [OrderFactory(**{trait: True}) for trait in (*traits, "refunded", "rejected", "expired")]
    orders += [OrderFactory(), OrderFactory(underpaid=True, overpaid=True, paid_late=True, flagged=True)]
    for order in orders:
        OrderEvent.objects.create(
            order=order, version=1, at=timezone.now(), actor="buyer", cause="created", to_state=order.state
        )
    return orders
