"""What clients get, by the names of the specification and of its first server. Here those names end.

`local` is the LSP's side and `remote` the client's; times are integers of milliseconds; a field that is not known yet
is null.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from orders.api import problems, weeks
from orders.models import Service
from orders.states import ORDER_STATE_NUMBERS
from orders.wire import DepositStage, OrderView, WarningView

_MOST_BASE: Final = (
    "What the LSP promises to ask at most for each payment that it forwards to the buyer over the channel, in "
    "millisatoshis. Null: nothing is promised."
)
_MOST_PPM: Final = "And of its amount, in millionths."
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

#: We keep no limit in dollars and know no rate. Clients take these for ceilings, and some crash on null: so there is
#: one, above every channel that we could sell.
NO_USD_LIMIT: Final = 9_999_999


@extend_schema_field({"type": "integer", "enum": sorted(set(ORDER_STATE_NUMBERS.values()))})
class StateNumber(serializers.IntegerField):
    """One of the published numbers."""


class Weeks(serializers.IntegerField):
    """A time in blocks, told in whole weeks."""

    def to_representation(self, value: int) -> int:
        """Rounded down: never more than there is."""
        return weeks.whole(value)


class LeastWeeks(serializers.IntegerField):
    """The shortest time that is sold, in blocks, told in weeks."""

    def to_representation(self, value: int) -> int:
        """Rounded up: less is not sold."""
        return weeks.begun(value)


@extend_schema_field({"type": "integer", "format": "int64", "description": "Milliseconds since 1970."})
class Milliseconds(serializers.Field):  # type: ignore[type-arg]
    """A time as v1 clients read it."""

    def to_representation(self, value: datetime) -> int:
        """Integers only: a float could round to another millisecond."""
        return (value - _EPOCH) // _MILLISECOND


class ErrorSerializer(serializers.Serializer):
    """Why a request was refused."""

    error = serializers.CharField(help_text="One sentence for people.")
    code = serializers.CharField(help_text="One word for machines.")
    field = serializers.CharField(allow_null=True, help_text="What was wrong, where one field was.")  # type: ignore[assignment]


@extend_schema_serializer(component_name="ChannelWarning")
class WarningSerializer(serializers.Serializer):
    """What would keep the channel from opening, as far as the LSP knows before it is paid."""

    code = serializers.CharField(help_text="One word for machines: that of an attempt that fails so.")
    warning = serializers.CharField(source="message", help_text="One sentence for people.")
    field = serializers.SerializerMethodField(help_text="What to ask for otherwise.")  # type: ignore[assignment]
    works = serializers.SerializerMethodField(help_text="What of it would work, where that is known.")
    is_sure = serializers.BooleanField(help_text="As things stand it would fail; else it may.")

    @extend_schema_field({"type": ["string", "null"]})
    def get_field(self, finding: WarningView) -> str | None:
        """By v1's name."""
        return problems.WARNED_FIELDS[finding.field]

    @extend_schema_field({"type": ["integer", "boolean", "null"]})
    def get_works(self, finding: WarningView) -> int | bool | None:
        """As that field has it."""
        return problems.works(finding.field, finding.works, client_balance_sat=self.context["client_balance_sat"])


@extend_schema_serializer(component_name="ChannelQuote")
class ChannelQuoteSerializer(serializers.Serializer):
    """An order to pay, by either way."""

    order_id = serializers.CharField()
    ln_invoice = serializers.CharField(source="payment_request", allow_null=True, help_text="BOLT11, a hold invoice.")
    price = serializers.IntegerField(source="fee_total_sat", help_text="Satoshis: `total_amount` − `remote_balance`.")
    total_amount = serializers.IntegerField(source="order_total_sat", help_text="Satoshis to pay.")
    btc_address = serializers.CharField(source="deposit_address", allow_null=True)
    lnurl_channel = serializers.CharField(source="lnurl.encoded", help_text="LUD-01, lower case.")
    order_expiry = Milliseconds(source="expires_at")
    max_routing_fee_base_msat = serializers.IntegerField(
        source="most_routing_base_msat", allow_null=True, help_text=_MOST_BASE
    )
    max_routing_fee_ppm = serializers.IntegerField(source="most_routing_ppm", allow_null=True, help_text=_MOST_PPM)
    order_token = serializers.CharField(
        source="token", help_text="A secret: who has it may say where the order's money goes. The id alone may not."
    )
    warnings = WarningSerializer(
        many=True, help_text="About the node that was named; empty where none was, or all is well."
    )


class RemoteNodeSerializer(serializers.Serializer):
    """The node that gets the channel."""

    err = serializers.SerializerMethodField()
    public_key = serializers.CharField(source="pubkey")
    addr = serializers.CharField(source="address", allow_null=True, help_text="host:port")
    ip = serializers.CharField(source="host", allow_null=True)
    port = serializers.CharField(allow_null=True)

    def get_err(self, node: Any) -> bool:
        """Always false: a node that cannot be read is refused when it is named."""
        return False


class LnurlSerializer(serializers.Serializer):
    """What a wallet finds behind the order's LNURL."""

    uri = serializers.CharField(allow_null=True)
    k1 = serializers.CharField()
    tag = serializers.CharField()
    callback = serializers.CharField()


class OpenTransactionSerializer(serializers.Serializer):
    """The channel's funding output."""

    transaction_id = serializers.CharField(source="txid")
    transaction_vout = serializers.IntegerField(source="vout")


class CloseTransactionSerializer(serializers.Serializer):
    """The transaction that closes the channel."""

    transaction_id = serializers.CharField(source="txid")
    ts = Milliseconds(source="at", allow_null=True)


class OnchainPaymentSerializer(serializers.Serializer):
    """One output that pays the order's address."""

    hash = serializers.CharField(source="txid")
    vout = serializers.IntegerField()
    to = serializers.CharField(source="address", allow_null=True)
    height = serializers.IntegerField(source="block_height", allow_null=True)
    amount_base = serializers.IntegerField(source="amount_sat", help_text="Satoshis.")
    fee_base = serializers.SerializerMethodField(help_text="Null: the node does not tell the fees of others.")
    zero_conf = serializers.BooleanField(source="on_credit", help_text="It was taken for paid in no block.")
    state = serializers.ChoiceField(
        choices=[stage.value for stage in DepositStage],
        source="stage",
        help_text="`seen`: in no block, not yet or not any more; `confirming`; `deep`: it counts; `gone`: replaced by "
        "its payer, or taken back for good by a reorganisation.",
    )
    confirmed = serializers.BooleanField()
    confirmations = serializers.IntegerField(source="depth", help_text="How deep it is; 0: in no block.")
    confirmations_required = serializers.IntegerField(source="required_depth", help_text="So deep it counts.")

    def get_fields(self) -> dict[str, Any]:
        """`from` is a word of Python's own."""
        unknown = serializers.ListField(child=serializers.CharField(), default=[], help_text="Empty: not known.")
        return {**super().get_fields(), "from": unknown}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """With the `from` that we cannot know."""
        shown: dict[str, Any] = {**super().to_representation(instance), "from": []}
        return shown

    @extend_schema_field({"type": ["integer", "null"]})
    def get_fee_base(self, payment: Any) -> None:
        """Not known."""


class OpeningAttemptSerializer(serializers.Serializer):
    """One attempt to open the channel."""

    attempt = serializers.IntegerField()
    state = serializers.CharField()
    ts = Milliseconds(source="at")
    public_key = serializers.CharField(source="pubkey")
    error = serializers.CharField(source="failure_reason", allow_null=True)


@extend_schema_serializer(component_name="ChannelOrder")
class ChannelOrderSerializer(serializers.Serializer):
    """Everything about an order. Every field is always there, null until it is known."""

    _id = serializers.CharField(source="order_id")
    order_id = serializers.CharField()
    product_id = serializers.CharField(source="service_id")
    state = StateNumber(source="state.number")
    state_name = serializers.ChoiceField(source="state.name", choices=list(ORDER_STATE_NUMBERS))
    created_at = Milliseconds()
    order_expiry = Milliseconds(source="expires_at", help_text="Unpaid, the order is valid until then.")
    local_balance = serializers.IntegerField(source="lsp_balance_sat", help_text="Satoshis on the LSP's side.")
    remote_balance = serializers.IntegerField(source="client_balance_sat", help_text="Satoshis on the client's side.")
    channel_expiry = Weeks(source="channel_expiry_blocks", help_text="Weeks.")
    channel_expiry_ts = Milliseconds(
        source="lease_ends_at",
        help_text="The LSP may close the channel after that. Counted from the order until the funding is in a block, "
        "then from that block.",
    )
    price = serializers.IntegerField(source="fee_total_sat")
    total_amount = serializers.IntegerField(source="order_total_sat", help_text="Satoshis to pay.")
    amount_received = serializers.IntegerField(source="received_sat", help_text="Satoshis held, settled or confirmed.")
    payment_held = serializers.BooleanField(help_text="The Lightning payment is held only: it is still the buyer's.")
    underpaid = serializers.BooleanField(help_text="Deposits do not cover the order.")
    overpaid = serializers.BooleanField()
    paid_late = serializers.BooleanField(help_text="A deposit came after the order had ended.")
    btc_address = serializers.CharField(source="deposit_address", allow_null=True)
    purchase_invoice = serializers.CharField(source="payment_request", allow_null=True)
    ln_invoice = serializers.CharField(source="payment_request", allow_null=True)
    onchain_payments = OnchainPaymentSerializer(source="deposits", many=True)
    onchain_payments_gone = OnchainPaymentSerializer(
        source="gone_deposits", many=True, help_text="What was seen and is not there any more: nothing counts of it."
    )
    zero_conf = serializers.BooleanField(
        source="on_credit", help_text="It was taken for paid while its deposits were in no block; not deep yet."
    )
    zero_conf_satvbyte = serializers.SerializerMethodField(
        help_text="A deposit that pays more, for each vbyte, may be taken for paid in no block. False: none is."
    )
    zero_conf_satvbyte_expiry = serializers.SerializerMethodField(help_text="Until when such a deposit must be seen.")
    refund_needed = serializers.BooleanField(
        help_text="Money is to go back on chain, and nobody has said where: see `/channel/refund_address`."
    )
    refund_amount = serializers.IntegerField(
        source="refund_sat",
        allow_null=True,
        help_text="Satoshis that go back on chain, or went; what sending them costs is taken off once it is known.",
    )
    refund_tx = serializers.CharField(
        source="refund_txid", allow_null=True, help_text="Null where nothing was sent back on chain."
    )
    refunded_at = Milliseconds(allow_null=True)
    lnurl = LnurlSerializer()
    lnurl_decoded = LnurlSerializer(source="lnurl")
    lnurl_string = serializers.CharField(source="lnurl.encoded")
    lnurl_channel = serializers.CharField(source="lnurl.encoded")
    remote_node = RemoteNodeSerializer(source="node", allow_null=True)
    private_channel = serializers.SerializerMethodField()
    claim_expiry = Milliseconds(
        source="claim_expires_at",
        allow_null=True,
        help_text="A paid order is to be claimed by then. It is no later than the held payment lasts.",
    )
    give_up_reason = serializers.CharField(allow_null=True, help_text="One word, once we gave up.")
    channel_open_error = serializers.CharField(
        source="opening_trouble", allow_null=True, help_text="The same, and before that what a claimed order waits for."
    )
    opening_attempts = serializers.SerializerMethodField(help_text="With `full_data=1`; else empty.")
    channel_open_tx = OpenTransactionSerializer(source="funding", allow_null=True)
    channel_close_tx = CloseTransactionSerializer(source="closing", allow_null=True)
    lightning_channel_id = serializers.CharField(
        source="short_channel_id", allow_null=True, help_text="BLOCKxTRANSACTIONxOUTPUT"
    )
    max_routing_fee_base_msat = serializers.IntegerField(
        source="most_routing_base_msat", allow_null=True, help_text=_MOST_BASE
    )
    max_routing_fee_ppm = serializers.IntegerField(source="most_routing_ppm", allow_null=True, help_text=_MOST_PPM)
    current_channel_info = serializers.SerializerMethodField(help_text="Null: balances are the peers' own business.")

    @extend_schema_field({"type": ["integer", "boolean"]})
    def get_zero_conf_satvbyte(self, order: OrderView) -> int | bool:
        """Clients of the first server read a number, or false."""
        return False if order.zero_conf_satvbyte is None else order.zero_conf_satvbyte

    @extend_schema_field({"type": ["integer", "null"]})
    def get_zero_conf_satvbyte_expiry(self, order: OrderView) -> int | None:
        """As long as the quote of the chain's fees holds."""
        return None if order.zero_conf_satvbyte is None else Milliseconds().to_representation(order.expires_at)

    def get_private_channel(self, order: OrderView) -> bool:
        """As claim, purchase or service have said."""
        return not order.announced

    @extend_schema_field(OpeningAttemptSerializer(many=True))
    def get_opening_attempts(self, order: OrderView) -> list[Any]:
        """All of them, for who asks for full data."""
        if not self.context.get("full_data"):
            return []
        return list(OpeningAttemptSerializer(order.attempts, many=True).data)

    @extend_schema_field({"type": ["object", "null"]})
    def get_current_channel_info(self, order: OrderView) -> None:
        """Not told: who has the id would watch the balance."""


class FinalisedSerializer(serializers.Serializer):
    """The claim stands."""

    order_id = serializers.CharField()
    node_uri = serializers.CharField(help_text="The node's key alone.")


@extend_schema_serializer(component_name="ChannelRefundAddress")
class RefundAddressSerializer(serializers.Serializer):
    """Where money goes back to."""

    order_id = serializers.CharField()
    refund_onchain_address = serializers.CharField()


@extend_schema_serializer(component_name="LNURLConnect")
class LNURLConnectSerializer(serializers.Serializer):
    """The first step answers `uri`, `callback`, `k1` and `tag`; the second `status` alone; a failure `reason` too.

    Wallets refuse keys that they do not expect: so what does not belong to an answer is absent, not null.
    """

    status = serializers.ChoiceField(choices=["OK", "ERROR"], help_text="Response status.")
    reason = serializers.CharField(required=False, help_text="Error reason.")
    uri = serializers.CharField(required=False, help_text="The LSP's node: `key@host:port`.")
    callback = serializers.CharField(required=False, help_text="Where to name the wallet's node.")
    k1 = serializers.CharField(required=False, help_text="The order's id.")
    tag = serializers.ChoiceField(choices=["channelRequest"], required=False)


class NodeSerializer(serializers.Serializer):
    """Our node."""

    alias = serializers.CharField()
    active_channels_count = serializers.IntegerField(source="active_channels")
    uris = serializers.ListField(child=serializers.CharField())
    public_key = serializers.CharField(source="pubkey")


class CapacitySerializer(serializers.Serializer):
    """Satoshis in active, announced channels."""

    local_balance = serializers.IntegerField(source="local_balance_sat")
    remote_balance = serializers.IntegerField(source="remote_balance_sat")


@extend_schema_serializer(component_name="OrderStates")
class OrderStatesSerializer(serializers.Serializer):
    """Every state and its number. REJECTED and CLOSED share one: `state_name` tells them apart."""

    def get_fields(self) -> dict[str, Any]:
        """One for each state, in the order of the table."""
        return {name: serializers.IntegerField() for name in ORDER_STATE_NUMBERS}


class ServiceSerializer(serializers.Serializer):
    """What is on sale."""

    available = serializers.SerializerMethodField(
        help_text="Sales go on, and our coins suffice for the smallest channel."
    )
    description = serializers.CharField()
    product_id = serializers.CharField(source="id")
    min_channel_size = serializers.IntegerField(source="min_channel_sat", help_text="Satoshis, both sides together.")
    max_channel_size = serializers.IntegerField(source="max_channel_sat")
    max_channel_size_now = serializers.SerializerMethodField(
        help_text="The largest channel that our coins suffice for now; 0 where not even for the smallest."
    )
    min_chan_expiry = LeastWeeks(source="min_expiry_blocks", help_text="Weeks.")
    max_chan_expiry = Weeks(source="max_expiry_blocks")
    max_node_usd_capacity = serializers.SerializerMethodField(help_text="No limit: above every channel.")
    order_states = serializers.SerializerMethodField()
    max_chan_receiving = serializers.CharField(source="max_channel_sat", help_text="Satoshis on the LSP's side.")
    max_chan_receiving_usd = serializers.SerializerMethodField(help_text="No limit: above every channel.")
    max_chan_spending = serializers.CharField(
        source="max_client_balance_sat", help_text="Satoshis on the client's side."
    )
    max_chan_spending_usd = serializers.SerializerMethodField(help_text="No limit: above every channel.")

    def get_available(self, service: Service) -> bool:
        """Whether the smallest channel could be bought."""
        return self.get_max_channel_size_now(service) > 0

    def get_max_channel_size_now(self, service: Service) -> int:
        """As the coins' sizes and the chain's fees have it."""
        largest_sat: int = self.context["largest_sat"]
        return min(largest_sat, service.max_channel_sat) if largest_sat >= service.min_channel_sat else 0

    def get_max_node_usd_capacity(self, service: Service) -> int:
        """Never null: a strict client crashes on that."""
        return NO_USD_LIMIT

    @extend_schema_field(OrderStatesSerializer)
    def get_order_states(self, service: Service) -> dict[str, int]:
        """Clients take the numbers from here."""
        return ORDER_STATE_NUMBERS

    def get_max_chan_receiving_usd(self, service: Service) -> str:
        """A string, as it was first served."""
        return str(NO_USD_LIMIT)

    def get_max_chan_spending_usd(self, service: Service) -> int:
        """A number, as it was first served."""
        return NO_USD_LIMIT


class NodeInfoSerializer(serializers.Serializer):
    """Our node and what is on sale."""

    node_info = NodeSerializer()
    capacity = CapacitySerializer()
    services = ServiceSerializer(many=True)
    paused = serializers.CharField(help_text="Why nothing is sold now; empty while sales go on.")
