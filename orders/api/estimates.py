"""What a price is made of, told to who has not ordered: by v1's names."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from orders.api import problems
from orders.api.serializers import Milliseconds, WarningSerializer
from orders.operations.estimating import Estimate
from orders.pricing import CLOSE_VBYTES, Quote


class PricePartsSerializer(serializers.Serializer):
    """What a price is made of, in satoshis: together they are `price`."""

    base_fee = serializers.IntegerField(source="base_fee_sat")
    lease_fee = serializers.IntegerField(source="lease_fee_sat", help_text="For `local_balance` and the term.")
    opening_fee = serializers.IntegerField(source="open_fee_sat", help_text="What opening costs in the chain.")
    closing_fee = serializers.IntegerField(source="close_fee_sat", help_text="And closing, one day.")
    rest_to_minimum = serializers.IntegerField(
        source="floor_fee_sat", help_text="What is missing to the least that the LSP takes."
    )
    discount = serializers.SerializerMethodField(help_text="What a coupon takes off: negative, or 0.")

    def get_discount(self, quote: Quote) -> int:
        """Below 0, so that the parts add up."""
        return -quote.discount_sat


class ChainPartSerializer(serializers.Serializer):
    """What the chain part of a price was reckoned with."""

    sat_per_kw = serializers.IntegerField(
        source="quote.sat_per_kw", help_text="The node's fee estimate, in satoshis for 1,000 weight units."
    )
    sat_per_vbyte = serializers.SerializerMethodField(help_text="The same, for each vbyte.")
    opening_vbytes = serializers.IntegerField(source="open_vbytes", help_text="With the coins that are left.")
    closing_vbytes = serializers.SerializerMethodField()

    def get_sat_per_vbyte(self, estimate: Estimate) -> float:
        """A rate to look at: nothing is reckoned with it."""
        return estimate.quote.sat_per_kw / 250

    def get_closing_vbytes(self, estimate: Estimate) -> int:
        """The same for every channel."""
        return CLOSE_VBYTES


@extend_schema_serializer(component_name="ChannelEstimate")
class ChannelEstimateSerializer(serializers.Serializer):
    """The price of an order that is not made."""

    product_id = serializers.CharField(source="service.pk")
    price = serializers.IntegerField(source="quote.fee_total_sat", help_text="`total_amount` − `remote_balance`.")
    total_amount = serializers.IntegerField(source="quote.order_total_sat", help_text="Satoshis to pay.")
    price_parts = PricePartsSerializer(source="quote")
    chain = ChainPartSerializer(source="*")
    seen_at = Milliseconds(help_text="When the numbers were seen that the price rests on.")
    valid_until = Milliseconds(help_text="Until then they count as fresh.")
    in_stock = serializers.BooleanField(help_text="It could be bought now.")
    why_not = serializers.SerializerMethodField(help_text="Else what `/channel/buy` would answer now.")
    warnings = WarningSerializer(source="findings", many=True, help_text="As of earlier attempts: no node is asked.")

    @extend_schema_field({"oneOf": [{"$ref": "#/components/schemas/Error"}, {"type": "null"}]})
    def get_why_not(self, estimate: Estimate) -> dict[str, Any] | None:
        """In the words of a refusal."""
        return problems.of(estimate.objection).told if estimate.objection else None
