"""What the OpenAPI file says of each endpoint, beside what its serializers say."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer, extend_schema

from orders.api.estimates import ChannelEstimateSerializer
from orders.api.requests import (
    LEAST_KEY_LENGTH,
    MOST_KEY_LENGTH,
    BuyRequest,
    FinaliseRequest,
    LnurlRequest,
    OrderRequest,
    RefundAddressRequest,
)
from orders.api.serializers import (
    ChannelOrderSerializer,
    ChannelQuoteSerializer,
    ErrorSerializer,
    FinalisedSerializer,
    LNURLConnectSerializer,
    NodeInfoSerializer,
    RefundAddressSerializer,
)

_WHY: Final = {
    400: "A field is missing or wrong: `field` names it.",
    403: "`order_token` is missing, or not the order's; or we do not serve this node or address: `field` says which.",
    404: "Order not found.",
    409: "The order's state does not allow this, or the same request is in flight.",
    413: "The body is larger than 64 KiB.",
    414: "Path and query are longer than some 4,000 bytes.",
    415: "The body is not JSON.",
    422: "The idempotency key was used for another request.",
    429: "Too many requests, or too many unpaid orders: see Retry-After.",
    431: "A header is longer than some 8,000 bytes.",
    503: "Not available now: see Retry-After.",
}


def _errors(*statuses: int) -> dict[int, OpenApiResponse]:
    return {status: OpenApiResponse(ErrorSerializer, description=_WHY[status]) for status in statuses}


_IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": LEAST_KEY_LENGTH, "maxLength": MOST_KEY_LENGTH, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="A random text that nobody else has, as a UUID is: the same key with the same body gets the same "
    "order and its token, for 24 hours.",
)

_ONE_OR_MANY: Final = PolymorphicProxySerializer(
    component_name="ChannelOrderOrList",
    serializers=[ChannelOrderSerializer, ChannelOrderSerializer(many=True)],
    resource_type_field_name=None,
    many=False,
)

NODE_INFO: Final[Any] = extend_schema(
    operation_id="node_info",
    summary="Returns general service information about the LSP",
    description="The LSP's Lightning node and the services on offer. Answers while the node is down.",
    responses={200: OpenApiResponse(NodeInfoSerializer, description="Node and service info"), **_errors(429, 503)},
)

BUY: Final[Any] = extend_schema(
    operation_id="channel_buy",
    summary="Request a channel to purchase",
    description="`local_amount`, `remote_amount` and `node_id` are read as `local_balance`, `remote_balance` and "
    "`node_uri`. Amounts are JSON integers of satoshis. Keys that are not known are ignored.",
    request=BuyRequest,
    parameters=[_IDEMPOTENCY_KEY],
    responses={
        200: OpenApiResponse(ChannelQuoteSerializer, description="Channel quote"),
        **_errors(400, 403, 409, 413, 415, 422, 429, 431, 503),
    },
)

ESTIMATE: Final[Any] = extend_schema(
    operation_id="channel_estimate",
    summary="Ask for the price of a channel",
    description="The same request as `/channel/buy`, and nothing is made: no order, no invoice, nothing to pay. A "
    "request that could never be bought is refused as there; what is only not in stock now has a price all the same, "
    "and `why_not` says what `/channel/buy` would answer. An order fixes its price, an estimate promises none.",
    request=BuyRequest,
    responses={
        200: OpenApiResponse(ChannelEstimateSerializer, description="The price by its parts"),
        **_errors(400, 403, 409, 413, 415, 429, 431, 503),
    },
)

MANUAL_FINALISE: Final[Any] = extend_schema(
    operation_id="channel_manual_finalise",
    summary="Finalise a purchased channel",
    description="Sets the node that the LSP opens the channel to, once the order is paid. The same claim may be "
    "repeated. To change it takes the quote's `order_token`, or an attempt that the node has failed, and is possible "
    "until an attempt to open has begun. `node_id` is read as `node_uri`.",
    request=FinaliseRequest,
    responses={
        200: OpenApiResponse(FinalisedSerializer, description="Channel claimed"),
        **_errors(400, 403, 404, 409, 413, 415, 429, 503),
    },
)

REFUND_ADDRESS: Final[Any] = extend_schema(
    operation_id="channel_refund_address",
    summary="Say where money goes back to",
    description="On-chain payments that buy nothing (too late, too little, too much, or given up) go back there, less "
    "what sending them costs. It takes the quote's `order_token`, and can be changed until the refund is signed.",
    request=RefundAddressRequest,
    responses={
        200: OpenApiResponse(RefundAddressSerializer, description="Where money goes back to"),
        **_errors(400, 403, 404, 409, 413, 415, 429, 503),
    },
)

_ORDER_TEXT: Final = (
    "All information about a channel order. Several ids between commas (at most 50) get a list, in their order; "
    "those of no order are left out."
)
_ORDER_ANSWER: Final = OpenApiResponse(_ONE_OR_MANY, description="The order; a list where several ids were given")


def ORDER(method: Any) -> Any:  # noqa: N802  reads as its neighbours
    """GET as specified; POST for a client that cannot send a query."""
    described = extend_schema(
        methods=["GET"],
        operation_id="channel_order",
        summary="Get an order",
        description=_ORDER_TEXT,
        parameters=[OrderRequest],
        responses={200: _ORDER_ANSWER, **_errors(400, 404, 414, 429, 503)},
    )(method)
    return extend_schema(
        methods=["POST"],
        operation_id="channel_order_post",
        summary="Get an order",
        description=f"As GET, with the arguments in the body. {_ORDER_TEXT}",
        request=OrderRequest,
        responses={200: _ORDER_ANSWER, **_errors(400, 404, 413, 415, 429, 503)},
    )(described)


_LNURL_TEXT: Final = (
    "LUD-02. First `?order_id=`, as the order's LNURL says: a paid order answers `uri`, `callback`, `k1` and `tag`. "
    "Then the callback with `k1`, `remoteid` and `private` claims the order for the wallet's node; with `k1` and "
    "`cancel=1` the claim is taken back. Both change a claim that stands only with the quote's `order_token`, or once "
    "the claimed node has failed an attempt. The HTTP status is 200 always."
)


def LNURL_CHANNEL(method: Any) -> Any:  # noqa: N802  reads as its neighbours
    """GET as LUD-02 has it; POST for a client that posts its claim."""
    answer = {200: OpenApiResponse(LNURLConnectSerializer, description="LNURL connect")}
    described = extend_schema(
        methods=["GET"],
        operation_id="lnurl_channel",
        summary="LNURL connect to node",
        description=_LNURL_TEXT,
        parameters=[LnurlRequest],
        responses=answer,
    )(method)
    return extend_schema(
        methods=["POST"],
        operation_id="lnurl_channel_post",
        summary="LNURL connect to node",
        description=f"As GET, with the arguments in the body. {_LNURL_TEXT}",
        request=LnurlRequest,
        responses=answer,
    )(described)
