"""What clients send, by the names that they use."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request

from lightning.types import NodeAddress
from orders.api import weeks
from orders.api.fields import Flag, Integer, Node, OrderId, OrderIds, RefundAddress, ServiceId, Text
from orders.api.once import once
from orders.api.problems import Unreadable
from orders.operations.creating import Idempotency
from orders.options import MAX_EXPIRY_BLOCKS, MAX_MONEY_SAT
from orders.tokens import LONGEST_TOKEN

MAX_WEEKS: Final = weeks.whole(MAX_EXPIRY_BLOCKS)
#: The longest `key@host:port`: 66 + 1 + 255 and a port.
_NODE_LENGTH: Final = 330
#: As many characters as 128 bits have in base 64: a key that nobody else chooses, or guesses.
LEAST_KEY_LENGTH: Final = 22
MOST_KEY_LENGTH: Final = 255
_VISIBLE_ASCII = re.compile(rf"[!-~]{{{LEAST_KEY_LENGTH},{MOST_KEY_LENGTH}}}")
_TOKEN_LENGTH: Final = 200


class ClientRequest(serializers.Serializer):
    """A JSON object, or a query. Keys that it does not know are ignored."""

    #: Names of the first server's own documents, that its clients may have learned from.
    aliases: ClassVar[Mapping[str, str]] = {}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Raises: Unreadable, OrderNotFound."""
        if not isinstance(data, Mapping):
            raise Unreadable("The body must be a JSON object.", code="malformed")
        named = dict(data.items())
        for alias, name in self.aliases.items():
            said = named.get(alias)
            if said is None:
                continue
            if named.get(name) is not None and named[name] != said:
                raise Unreadable(f"{name} and {alias} must not differ.", field=name)
            named[name] = said
        value: dict[str, Any] = super().to_internal_value(named)
        return value

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """What `data` means. Raises: Unreadable, OrderNotFound."""
        if data is None:
            raise Unreadable("The body must be a JSON object.", code="malformed")
        meant: dict[str, Any] = once(cls).run_validation(data)
        return meant


@extend_schema_serializer(component_name="ChannelBuy")
class BuyRequest(ClientRequest):
    """The channel that is wanted. `local_balance` is the LSP's side, `remote_balance` the client's."""

    aliases = {"local_amount": "local_balance", "remote_amount": "remote_balance", "node_id": "node_uri"}

    product_id = ServiceId(
        required=False, allow_null=True, help_text="From /node/info; the first service where it is absent."
    )
    local_balance = Integer(
        min_value=0, max_value=MAX_MONEY_SAT, help_text="Satoshis on the LSP's side: what the client can receive."
    )
    remote_balance = Integer(
        min_value=0,
        max_value=MAX_MONEY_SAT,
        required=False,
        default=0,
        help_text="Satoshis on the client's side: paid for in full, and less than `local_balance`.",
    )
    channel_expiry = Integer(min_value=1, max_value=MAX_WEEKS, help_text="Weeks.")
    node_uri = Node(
        required=False,
        allow_null=True,
        max_length=_NODE_LENGTH,
        help_text="`key` or `key@host:port`: claims the order for this node as soon as it is paid.",
    )
    private = Flag(required=False, allow_null=True, help_text="Whether the channel is kept out of the public graph.")
    refund_onchain_address = RefundAddress(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=100,
        help_text="Where an on-chain payment goes back to.",
    )
    coupon = Text(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=LONGEST_TOKEN,
        help_text="A code that the LSP has given out. One that it does not know is refused, never passed over.",
    )


def _order_token() -> Text:
    return Text(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=_TOKEN_LENGTH,
        help_text="From the quote: changes a claim that stands.",
    )


@extend_schema_serializer(component_name="ChannelFinalise")
class FinaliseRequest(ClientRequest):
    """The node that gets the channel."""

    aliases = {"node_id": "node_uri"}

    order_id = OrderId()
    node_uri = Node(max_length=_NODE_LENGTH, help_text="`key` or `key@host:port`.")
    private = Flag(required=False, allow_null=True, help_text="Whether the channel is kept out of the public graph.")
    order_token = _order_token()


@extend_schema_serializer(component_name="ChannelRefundAddressRequest")
class RefundAddressRequest(ClientRequest):
    """Where money of the order goes back to."""

    order_id = OrderId()
    order_token = _order_token()
    refund_onchain_address = RefundAddress(max_length=100, help_text="A Bitcoin address of the LSP's network.")


@extend_schema_serializer(component_name="ChannelOrderLookup")
class OrderRequest(ClientRequest):
    """Which order to show."""

    order_id = OrderIds(help_text="One id, or up to 50 between commas: then the answer is a list.")
    full_data = Flag(required=False, allow_null=True, help_text="1: with every attempt to open the channel.")


@extend_schema_serializer(component_name="LnurlChannel")
class LnurlRequest(ClientRequest):
    """Either step of LNURL-channel."""

    order_id = OrderId(required=False, allow_null=True, help_text="First step: the order.")
    k1 = OrderId(required=False, allow_null=True, help_text="Second step: the `k1` of the first.")
    remoteid = Node(
        required=False, allow_null=True, max_length=_NODE_LENGTH, help_text="Second step: the wallet's node (LUD-02)."
    )
    remote_id = Node(
        required=False,
        allow_null=True,
        max_length=_NODE_LENGTH,
        help_text="The same, as the specification calls it: `node_key@ip_address:port_number`.",
    )
    private = Flag(required=False, allow_null=True, help_text="1: an unannounced channel.")
    cancel = Flag(required=False, allow_null=True, help_text="1: the claim is taken back.")
    order_token = _order_token()


def remote_node(asked: Mapping[str, Any]) -> NodeAddress:
    """The node that a wallet names, by either name.

    Raises: Unreadable when it names none, or two.
    """
    first: NodeAddress | None = asked.get("remoteid")
    second: NodeAddress | None = asked.get("remote_id")
    if first and second and first.pubkey != second.pubkey:
        raise Unreadable("remoteid and remote_id must not differ.", field="remoteid")
    named = [node for node in (first, second) if node]
    if not named:
        raise Unreadable("remoteid is required.", field="remoteid", code="required")
    return max(named, key=lambda node: bool(node.host))


def idempotency(request: Request, meant: Mapping[str, Any]) -> Idempotency | None:
    """The buyer's `Idempotency-Key` with what the request means, if there is one.

    Who repeats it gets the order with its token, from whatever address: so it must be long enough to be a secret. Two
    buyers behind one address who both chose "1" would get one order.
    Raises: Unreadable.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _VISIBLE_ASCII.fullmatch(key):
        raise Unreadable(
            f"The key must have {LEAST_KEY_LENGTH} to {MOST_KEY_LENGTH} visible ASCII characters, as a UUID has.",
            field="Idempotency-Key",
        )
    canonical = json.dumps({name: str(value) for name, value in meant.items() if value is not None}, sort_keys=True)
    return Idempotency(key, hashlib.sha256(canonical.encode()).hexdigest())
