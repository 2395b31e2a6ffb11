"""The endpoints. Each parses, calls one operation or query, and renders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.viewsets import GenericViewSet

from lightning import connection
from orders import actors, lnurl, queries, wire
from orders.api import errors, schema, turns, weeks
from orders.api.clients import client_address, tells_apart
from orders.api.estimates import ChannelEstimateSerializer
from orders.api.once import once
from orders.api.parsers import StrictJSONParser
from orders.api.problems import Unreadable
from orders.api.requests import (
    BuyRequest,
    FinaliseRequest,
    LnurlRequest,
    OrderRequest,
    RefundAddressRequest,
    idempotency,
    remote_node,
)
from orders.api.serializers import (
    ChannelOrderSerializer,
    ChannelQuoteSerializer,
    FinalisedSerializer,
    NodeInfoSerializer,
    RefundAddressSerializer,
)
from orders.api.throttles import BuyThrottle, ClaimThrottle, ReadThrottle
from orders.causes import COINS_PROMISED_ELSEWHERE
from orders.errors import NotAvailable, NotClaimable
from orders.keys import client_hash
from orders.models import ChannelOrder, NodeSnapshot, SwitchName
from orders.operations import claiming, creating, estimating, refunding, selling, snapshot
from orders.options import Wanted
from orders.states import OrderState


class AlwaysJson(BaseContentNegotiation):
    """Whatever a client says that it accepts: it gets JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> Any:
        """JSON, where the client says that it sends that; else None, which becomes 415."""
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next(iter(parsers)) if media_type in {"application/json", ""} else None

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """JSON."""
        return next(iter(renderers)), "application/json"


class ApiViewSet(GenericViewSet):
    """JSON in, JSON out; nobody logs in, everybody is counted."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AlwaysJson
    metadata_class = None
    pagination_class = None
    filter_backends = ()
    queryset = ChannelOrder.objects.none()
    #: By action; what is not named is a read.
    throttles: ClassVar[Mapping[str, type[BaseThrottle]]] = {}

    def get_throttles(self) -> list[BaseThrottle]:
        """The one that counts this request."""
        return [self.throttles.get(self.action or "", ReadThrottle)()]

    def get_exception_handler(self) -> Any:
        """Ours, whatever the site's settings say."""
        return errors.handle

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """UTF-8, whatever the content type says: the charset would decide how the query is read, and can break it."""
        request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)


class NodeViewSet(ApiViewSet):
    """The LSP itself."""

    @schema.NODE_INFO
    def info(self, request: Request) -> Response:
        """From what was last seen: it answers while the node is down."""
        seen = queries.snapshot() or first_seen()
        paused = queries.paused(SwitchName.SALES)
        info = {
            "node_info": {
                "alias": seen.alias,
                "active_channels": seen.active_channels,
                "uris": node_uris(seen),
                "pubkey": seen.node.pubkey,
            },
            "capacity": seen,
            "services": queries.services_on_sale(),
            "paused": paused.reason if paused else "",
        }
        context = {"largest_sat": 0 if paused else selling.largest_sat(seen, queries.stock(seen))}
        return Response(NodeInfoSerializer(info, context=context).data)


class ChannelViewSet(ApiViewSet):
    """Orders of channels."""

    throttles = {"buy": BuyThrottle, "manual_finalise": ClaimThrottle, "refund_address": ClaimThrottle}

    @schema.BUY
    def buy(self, request: Request) -> Response:
        """The quote of a new order."""
        meant = BuyRequest.read(request.data)
        purchase = meant_purchase(request, meant, idempotency(request, meant))
        with turns.turn():
            order = creating.create(purchase, node=connection.node())
        view = wire.quote(order, place(None))
        if not view.warnings:
            return Response(once(ChannelQuoteSerializer).to_representation(view))
        return Response(ChannelQuoteSerializer(view, context={"client_balance_sat": order.client_balance_sat}).data)

    @schema.ESTIMATE
    def estimate(self, request: Request) -> Response:
        """The price of an order that is not made. No node is asked, so nobody takes a turn."""
        purchase = meant_purchase(request, BuyRequest.read(request.data), None)
        context = {"client_balance_sat": purchase.wanted.client_balance_sat}
        return Response(ChannelEstimateSerializer(estimating.estimate(purchase), context=context).data)

    @schema.MANUAL_FINALISE
    def manual_finalise(self, request: Request) -> Response:
        """The claim, or the better claim."""
        meant = FinaliseRequest.read(request.data)
        private = meant.get("private")
        order = claiming.claim(
            meant["order_id"],
            meant["node_uri"],
            announced=None if private is None else not private,
            actor=actors.buyer(meant["order_id"], meant.get("order_token")),
        )
        return Response(FinalisedSerializer({"order_id": str(order.pk), "node_uri": order.node_pubkey}).data)

    @schema.REFUND_ADDRESS
    def refund_address(self, request: Request) -> Response:
        """Where money goes back to, until it is on its way."""
        meant = RefundAddressRequest.read(request.data)
        actor = actors.buyer(meant["order_id"], meant.get("order_token"))
        order = refunding.say_refund_address(meant["order_id"], meant["refund_onchain_address"], actor=actor)
        said = {"order_id": str(order.pk), "refund_onchain_address": order.refund_address}
        return Response(RefundAddressSerializer(said).data)

    @schema.ORDER
    def order(self, request: Request) -> Response:
        """One order, or a list of those that there are."""
        meant = OrderRequest.read(arguments(request))
        wanted: UUID | list[UUID] = meant["order_id"]
        here = place(queries.snapshot())
        context = {"full_data": meant.get("full_data")}
        if isinstance(wanted, UUID):
            view = wire.view(queries.order_or_raise(wanted), here)
            return Response(ChannelOrderSerializer(view, context=context).data)
        found = {order.pk: order for order in queries.orders_with_details().filter(pk__in=wanted)}
        views = [wire.view(found[order_id], here) for order_id in wanted if order_id in found]
        return Response(ChannelOrderSerializer(views, many=True, context=context).data)


class LnurlViewSet(ApiViewSet):
    """Claiming by a wallet that speaks LNURL-channel. Spec: LUD-02."""

    def get_throttles(self) -> list[BaseThrottle]:
        """The first step reads, the second claims."""
        claims = self.request.method == "POST" or "k1" in self.request.query_params
        return [ClaimThrottle() if claims else ReadThrottle()]

    @schema.LNURL_CHANNEL
    def channel(self, request: Request) -> Response:
        """Either step, told apart by `k1`."""
        meant = LnurlRequest.read(arguments(request))
        order_id, k1 = meant.get("order_id"), meant.get("k1")
        if k1 is None:
            if order_id is None:
                raise Unreadable("order_id is required, or k1 and remoteid.", field="order_id", code="required")
            return Response(self._offer(order_id))
        if order_id not in {None, k1}:
            raise Unreadable("order_id and k1 must not differ.", field="k1")
        self._claim(k1, meant)
        return Response({"status": "OK"})

    def _offer(self, order_id: UUID) -> dict[str, str]:
        order = queries.order_or_raise(order_id)
        if not claiming.is_open(order):
            told = f" ({order.give_up_reason})" if order.give_up_reason == COINS_PROMISED_ELSEWHERE else ""
            raise NotClaimable(f"The order cannot be claimed: it is {OrderState(order.state).label.lower()}{told}.")
        found = wire.lnurl_view(str(order.pk), place(queries.snapshot()))
        if found.uri is None:
            raise NotAvailable("The LSP's node has no address that a wallet could connect to.")
        return {"uri": found.uri, "callback": found.callback, "k1": found.k1, "tag": found.tag, "status": "OK"}

    def _claim(self, order_id: UUID, meant: Mapping[str, Any]) -> None:
        actor = actors.buyer(order_id, meant.get("order_token"))
        if meant.get("cancel"):
            claiming.unclaim(order_id, actor=actor)
            return
        private = meant.get("private")
        announced = None if private is None else not private
        claiming.claim(order_id, remote_node(meant), announced=announced, actor=actor)


def meant_purchase(request: Request, meant: Mapping[str, Any], key: creating.Idempotency | None) -> creating.Purchase:
    """What the client would buy, in our own words."""
    client = client_address(request._request)
    private = meant.get("private")
    return creating.Purchase(
        wanted=Wanted(meant["local_balance"], meant["remote_balance"], weeks.in_blocks(meant["channel_expiry"])),
        service_id=meant.get("product_id"),
        address=meant.get("node_uri"),
        announced=None if private is None else not private,
        refund_address=meant.get("refund_onchain_address", ""),
        client_hash=client_hash(client) if tells_apart(client) else "",
        idempotency=key,
        asked=creating.Asked(token=meant.get("coupon") or ""),
    )


def arguments(request: Request) -> Mapping[str, Any]:
    """What a GET has in its query; a POST may have it in its body too, which then counts."""
    query = request.query_params.dict()
    if request.method != "POST":
        return query
    body: Any = request.data
    if not isinstance(body, Mapping):
        raise Unreadable("The body must be a JSON object.", code="malformed")
    return {**query, **dict(body.items())}


def first_seen() -> NodeSnapshot:
    """The node, which nobody has looked at yet."""
    with turns.turn():
        return snapshot.fresh_snapshot(connection.node())


def node_uris(seen: NodeSnapshot) -> list[str]:
    """Where buyers reach our node: as configured, else as the node says."""
    return lnurl.ordered(settings.NODE_URIS or seen.uris)


def place(seen: NodeSnapshot | None) -> wire.Place:
    """Where the outside finds us."""
    uris = settings.NODE_URIS or (seen.uris if seen else ())
    return wire.Place(settings.PUBLIC_URL, lnurl.best_uri(uris))
