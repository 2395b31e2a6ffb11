"""The three calls. Each parses, calls one operation or query, and tells."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from lightning import connection
from lsps import buying, lsps1
from lsps.lsps1 import CreateOrder, Dialect
from lsps.rest import errors, schema
from orders.api import turns
from orders.api.clients import client_address, tells_apart
from orders.api.requests import idempotency
from orders.api.throttles import BuyThrottle
from orders.api.views import ApiViewSet
from orders.keys import client_hash
from orders.models.order import Door


class Lsps1ViewSet(ApiViewSet):
    """LSPS1. Who has an order's id reads it, whichever door it came by."""

    throttles = {"create_order": BuyThrottle}

    def get_exception_handler(self) -> Any:
        """In LSPS1's words."""
        return errors.handle

    @schema.GET_INFO
    def get_info(self, request: Request) -> Response:
        """From our own records: it calls no node, and answers while there is none."""
        lsps1.read_get_info(request.query_params.dict())
        return Response(buying.info(_dialect()))

    @schema.CREATE_ORDER
    def create_order(self, request: Request) -> Response:
        """A new order, each time; the same only by `Idempotency-Key`."""
        asked = lsps1.read_create_order(request.data, network=settings.LND_NETWORK)
        buyer = lsps1.buyers_node(asked)
        client = client_address(request._request)
        with turns.turn():
            order = buying.create(
                asked,
                buyer,
                door=Door.LSPS1_REST,
                node=connection.node(),
                client_hash=client_hash(client) if tells_apart(client) else "",
                idempotency=idempotency(request, _meant(asked)),
            )
        return Response(buying.told(order.pk, _dialect()))

    @schema.GET_ORDER
    def get_order(self, request: Request) -> Response:
        """The order as it is now."""
        return Response(buying.told(lsps1.read_get_order(request.query_params.dict()), _dialect()))


def _dialect() -> Dialect:
    return Dialect(aliases=settings.LSPS1_ALIASES)


def _meant(asked: CreateOrder) -> dict[str, Any]:
    return {"create_order": asked}
