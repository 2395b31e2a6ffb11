"""What the OpenAPI file says of the three calls, and the models that stand in it."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from lsps.lsps1 import TOKEN_LENGTH
from lsps.reading import UINT16, UINT32
from lsps.refusing import TITLES
from orders.api.requests import LEAST_KEY_LENGTH, MOST_KEY_LENGTH
from orders.wire import PaymentState

_DIGITS: Final = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,16})$"}


@extend_schema_field(_DIGITS)
class Satoshis(serializers.CharField):
    """A decimal string."""


@extend_schema_field({"oneOf": [_DIGITS, {"type": "integer", "minimum": 0}]})
class SatoshisAsked(serializers.CharField):
    """The same; an integer is taken too."""


class _Options(serializers.Serializer):
    min_required_channel_confirmations = serializers.IntegerField(min_value=0, max_value=UINT16)
    min_funding_confirms_within_blocks = serializers.IntegerField(min_value=1, max_value=UINT16)
    supports_zero_channel_reserve = serializers.BooleanField()
    max_channel_expiry_blocks = serializers.IntegerField(min_value=1, max_value=UINT32)
    min_initial_client_balance_sat = Satoshis()
    max_initial_client_balance_sat = Satoshis()
    min_initial_lsp_balance_sat = Satoshis()
    max_initial_lsp_balance_sat = Satoshis()
    min_channel_balance_sat = Satoshis(help_text="Both sides together.")
    max_channel_balance_sat = Satoshis()


@extend_schema_serializer(component_name="Lsps1Options")
class OptionsSerializer(_Options):
    """What may be asked for."""


@extend_schema_serializer(component_name="Lsps1Info")
class InfoSerializer(_Options):
    """The options, flat as bLIP-51 has them; the rest is for clients of earlier drafts."""

    options = OptionsSerializer(required=False)
    uris = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Our node: IPv4 first, then names, IPv6, onion."
    )
    website = serializers.CharField(required=False)
    version = serializers.IntegerField(required=False)
    supported_versions = serializers.ListField(child=serializers.IntegerField(), required=False)


@extend_schema_serializer(component_name="Lsps1CreateOrder")
class CreateOrderSerializer(serializers.Serializer):
    """What is wanted, and for which node."""

    lsp_balance_sat = SatoshisAsked(help_text="On the LSP's side: what the client can receive.")
    client_balance_sat = SatoshisAsked(help_text="On the client's side, paid for in full: less than the LSP's.")
    required_channel_confirmations = serializers.IntegerField(min_value=0, max_value=UINT16)
    funding_confirms_within_blocks = serializers.IntegerField(min_value=0, max_value=UINT16)
    channel_expiry_blocks = serializers.IntegerField(min_value=0, max_value=UINT32)
    announce_channel = serializers.BooleanField()
    token = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=TOKEN_LENGTH)
    refund_onchain_address = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, help_text="Without one nothing is to be paid on chain."
    )
    public_key = serializers.CharField(
        help_text="The node that gets the channel; `key@host:port` is taken too. Without a host the node connects to "
        "us, or its addresses are found in the graph."
    )
    node_uri = serializers.CharField(required=False, allow_null=True, help_text="The same, with its host.")
    host = serializers.CharField(required=False, allow_null=True, help_text="`host:port` of `public_key`.")
    client_info = serializers.JSONField(required=False, allow_null=True, help_text="Not looked at.")


@extend_schema_field({"type": "string", "enum": [state.value for state in PaymentState]})
class State(serializers.CharField):
    """Where the money of one rail is."""


@extend_schema_field({"type": ["string", "integer", "boolean", "null"]})
class Works(serializers.Field):
    """A value of whichever parameter."""


class _BillSerializer(serializers.Serializer):
    state = State()
    expires_at = serializers.DateTimeField(help_text="UTC, with milliseconds.")
    fee_total_sat = Satoshis()
    order_total_sat = Satoshis(help_text="To pay: the fee, and what is on the client's side.")


@extend_schema_serializer(component_name="Lsps1Bolt11")
class Bolt11Serializer(_BillSerializer):
    """A hold invoice: it is settled when the channel's funding is published, else cancelled."""

    invoice = serializers.CharField()


@extend_schema_serializer(component_name="Lsps1Onchain")
class OnchainSerializer(_BillSerializer):
    """An address of the order's own. Absent where no address was named to send money back to."""

    address = serializers.CharField()
    min_onchain_payment_confirmations = serializers.IntegerField()
    min_fee_for_0conf = serializers.IntegerField(
        allow_null=True, help_text="sat/kWU: what pays more may count in no block. Null: nothing does."
    )
    refund_onchain_address = serializers.CharField(allow_null=True)
    onchain_address = serializers.CharField(required=False, help_text="`address`, for earlier clients.")


@extend_schema_serializer(component_name="Lsps1Payment")
class PaymentSerializer(serializers.Serializer):
    """Each way to pay; beside them one payment as an earlier draft had it."""

    bolt11 = Bolt11Serializer(required=False)
    onchain = OnchainSerializer(required=False)
    state = State(required=False)
    fee_total_sat = Satoshis(required=False)
    order_total_sat = Satoshis(required=False)
    lightning_invoice = serializers.CharField(required=False, allow_null=True)
    bolt11_invoice = serializers.CharField(required=False, allow_null=True)
    onchain_address = serializers.CharField(required=False, allow_null=True)


@extend_schema_serializer(component_name="Lsps1Channel")
class ChannelSerializer(serializers.Serializer):
    """The channel, from when the network has its funding."""

    funded_at = serializers.DateTimeField()
    funding_outpoint = serializers.CharField(help_text="`txid:vout`")
    expires_at = serializers.DateTimeField(help_text="The LSP closes it no earlier.")


@extend_schema_serializer(component_name="Lsps1Price")
class PriceSerializer(serializers.Serializer):
    """What `fee_total_sat` is made of: the sum of these, less the discount."""

    base_fee_sat = Satoshis()
    lease_fee_sat = Satoshis()
    opening_fee_sat = Satoshis(help_text="What opening costs in the chain.")
    closing_fee_sat = Satoshis(help_text="What closing will cost in the chain.")
    rest_to_minimum_sat = Satoshis(help_text="What was missing to the least fee.")
    discount_sat = Satoshis(help_text="What the coupon took off.")
    sat_per_kw = serializers.IntegerField(
        help_text="The node's estimate when it was quoted, which the closing assumes."
    )
    opening_sat_per_kw = serializers.IntegerField(
        allow_null=True,
        help_text="What the opening assumes: less where its funding may confirm later. Null: not known.",
    )
    opening_vbytes = serializers.IntegerField(
        allow_null=True, help_text="Of the funding, with the coins that were left."
    )
    closing_vbytes = serializers.IntegerField(allow_null=True)


@extend_schema_serializer(component_name="Lsps1Warning")
class WarningSerializer(serializers.Serializer):
    """What would keep the node from taking the channel, as far as the LSP knew when it was ordered."""

    code = serializers.CharField(help_text="One word for machines: that of an attempt that fails so.")
    message = serializers.CharField(help_text="One sentence for people.")
    property = serializers.CharField(help_text="The parameter to send otherwise.")
    works = Works(help_text="What of it would work, as it is sent; null: nothing that could be named.")
    is_sure = serializers.BooleanField(help_text="As things stand it would fail; else it may.")


@extend_schema_serializer(component_name="Lsps1Order")
class OrderSerializer(serializers.Serializer):
    """An order, whichever door it came by."""

    order_id = serializers.CharField()
    lsp_balance_sat = Satoshis()
    client_balance_sat = Satoshis()
    required_channel_confirmations = serializers.IntegerField()
    funding_confirms_within_blocks = serializers.IntegerField()
    channel_expiry_blocks = serializers.IntegerField()
    token = serializers.CharField(allow_null=True, help_text="As it was sent.")
    created_at = serializers.DateTimeField()
    announce_channel = serializers.BooleanField()
    order_state = serializers.ChoiceField(choices=["CREATED", "COMPLETED", "FAILED"])
    payment = PaymentSerializer()
    channel = ChannelSerializer(allow_null=True)
    price = PriceSerializer()
    warnings = WarningSerializer(many=True, help_text="About the node that is named; empty where all is well.")
    expires_at = serializers.DateTimeField(required=False, help_text="As each payment's, for earlier clients.")


class ErrorDataSerializer(serializers.Serializer):
    """What the error is about."""

    property = serializers.CharField(required=False, help_text="The parameter (-32602), or the option (100).")
    message = serializers.CharField()
    unrecognized = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="Parameters that there are not (-32602)."
    )


@extend_schema_serializer(component_name="Lsps1ErrorObject")
class ErrorObjectSerializer(serializers.Serializer):
    """JSON-RPC's error, with the codes of bLIP-50 and bLIP-51."""

    code = serializers.ChoiceField(choices=sorted(TITLES))
    message = serializers.CharField()
    data = ErrorDataSerializer()  # type: ignore[assignment]


@extend_schema_serializer(component_name="Lsps1Error")
class ErrorSerializer(serializers.Serializer):
    """Why a request was refused."""

    error = ErrorObjectSerializer()
    message = serializers.CharField(help_text="One sentence for people.")


_WHY: Final = {
    400: "A parameter is missing, wrong or not known: `data.property` or `data.unrecognized` names it.",
    403: "Not for whoever asks.",
    404: "Order not found.",
    409: "The same request is in flight, or the node would have more of us than one may.",
    413: "The body is larger than 64 KiB.",
    415: "The body is not JSON.",
    422: "An option of get_info is violated, the token is not known, or the Idempotency-Key was used for another.",
    429: "Too many requests, or too many unpaid orders: see Retry-After.",
    503: "Not available now: see Retry-After.",
}


def _answers(model: type[serializers.Serializer], *refused: int) -> dict[int, OpenApiResponse]:
    why = {status: OpenApiResponse(ErrorSerializer, description=_WHY[status]) for status in refused}
    return {200: OpenApiResponse(model, description="As bLIP-51 has it"), **why}


_IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": LEAST_KEY_LENGTH, "maxLength": MOST_KEY_LENGTH, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="A random text that nobody else has: the same key with the same body gets the same order. Without it "
    "each request makes another order.",
)

GET_INFO: Final[Any] = extend_schema(
    operation_id="lsps1_get_info",
    summary="LSPS1: what may be asked for",
    responses=_answers(InfoSerializer, 400, 429, 503),
)
CREATE_ORDER: Final[Any] = extend_schema(
    operation_id="lsps1_create_order",
    summary="LSPS1: order a channel",
    request=CreateOrderSerializer,
    parameters=[_IDEMPOTENCY_KEY],
    responses=_answers(OrderSerializer, 400, 403, 409, 413, 415, 422, 429, 503),
)
GET_ORDER: Final[Any] = extend_schema(
    operation_id="lsps1_get_order",
    summary="LSPS1: an order as it is now",
    description="Of whatever door; who has its id may read it.",
    parameters=[OpenApiParameter("order_id", str, required=True)],
    responses=_answers(OrderSerializer, 400, 404, 429, 503),
)
