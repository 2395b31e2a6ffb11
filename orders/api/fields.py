"""The fields of requests: each refuses with a sentence that names it, and none guesses."""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from lightning.transactions import check_address
from lightning.types import NodeAddress
from orders.api.problems import Unreadable
from orders.errors import OrderNotFound

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_YES: Final = frozenset({"1", "true"})
_NO: Final = frozenset({"0", "false"})


def uuid_or_none(text: str) -> UUID | None:
    """The id that `text` writes, in either case, with or without its hyphens."""
    return UUID(text) if _UUID.fullmatch(text) else None


class StrictField(serializers.Field):  # type: ignore[type-arg]
    """A field whose errors name it. Null is as good as absent where it may be absent."""

    def run_validation(self, data: Any = empty) -> Any:
        """What the field means; all rules stand in `to_internal_value`."""
        if data is None and not self.required:
            data = empty
        is_absent, data = self.validate_empty_values(data)
        return data if is_absent else self.to_internal_value(data)

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        """Raises: Unreadable."""
        if key in {"required", "null"}:
            raise Unreadable(f"{self.field_name} is required.", field=self.field_name, code="required")
        raise self.invalid(f"is {key}")

    def invalid(self, rule: str) -> Unreadable:
        """The error that says which rule does not hold."""
        return Unreadable(f"{self.field_name} {rule}.", field=self.field_name)


class Integer(StrictField, serializers.IntegerField):
    """A JSON integer: no float, no text, no boolean (which Python would take for one)."""

    def to_internal_value(self, data: Any) -> int:
        """Raises: Unreadable."""
        if isinstance(data, bool) or not isinstance(data, int):
            raise self.invalid("must be an integer")
        if self.min_value is not None and data < self.min_value:
            raise self.invalid(f"must not be less than {self.min_value}")
        if self.max_value is not None and data > self.max_value:
            raise self.invalid(f"must not be more than {self.max_value}")
        return data


class Text(StrictField, serializers.CharField):
    """A JSON string, of bounded length."""

    def to_internal_value(self, data: Any) -> Any:
        """Raises: Unreadable."""
        if not isinstance(data, str):
            raise self.invalid("must be a string")
        if self.max_length is not None and len(data) > self.max_length:
            raise self.invalid(f"must not have more than {self.max_length} characters")
        return data


class OrderId(Text):
    """The id of an order. What cannot be an id is the id of no order."""

    def to_internal_value(self, data: Any) -> UUID:
        """Raises: Unreadable (no string), OrderNotFound."""
        if not isinstance(data, str):
            raise self.invalid("must be a string")
        order_id = uuid_or_none(data)
        if order_id is None:
            raise OrderNotFound
        return order_id


class OrderIds(Text):
    """One id, or several between commas: then what is no id is left out, like the id of no order."""

    def to_internal_value(self, data: Any) -> UUID | list[UUID]:
        """Raises: Unreadable, OrderNotFound."""
        if not isinstance(data, str):
            raise self.invalid("must be a string")
        if "," not in data:
            order_id = uuid_or_none(data)
            if order_id is None:
                raise OrderNotFound
            return order_id
        parts = [part.strip() for part in data.split(",") if part.strip()]
        if len(parts) > MAX_ORDERS:
            raise Unreadable(f"Too many orders: at most {MAX_ORDERS}.", field=self.field_name, code="too_many_orders")
        return list(dict.fromkeys(found for part in parts if (found := uuid_or_none(part))))


#: How many orders one request may ask for.
MAX_ORDERS: Final = 50


class ServiceId(Text):
    """The id of a service; an empty one means the default service."""

    def to_internal_value(self, data: Any) -> UUID | None:
        """Raises: Unreadable."""
        if not isinstance(data, str):
            raise self.invalid("must be a string")
        if not data:
            return None
        service_id = uuid_or_none(data)
        if service_id is None:
            raise self.invalid("is not the id of a service")
        return service_id


class Node(Text):
    """A node: its key, or `key@host:port`."""

    def to_internal_value(self, data: Any) -> NodeAddress:
        """Raises: Unreadable."""
        text: str = super().to_internal_value(data)
        try:
            return NodeAddress.parse(text)
        except ValueError as error:
            raise Unreadable(str(error), field=self.field_name) from None


class RefundAddress(Text):
    """A Bitcoin address of our network; empty means none."""

    def to_internal_value(self, data: Any) -> str:
        """Raises: Unreadable."""
        text: str = super().to_internal_value(data)
        if not text:
            return ""
        try:
            check_address(text, settings.LND_NETWORK)
        except ValueError as error:
            raise Unreadable(str(error), field=self.field_name) from None
        return text


@extend_schema_field({"oneOf": [{"type": "boolean"}, {"type": "string", "enum": ["0", "1", "true", "false"]}]})
class Flag(StrictField):
    """A yes or no, as JSON or as LNURL writes it; null says nothing."""

    def to_internal_value(self, data: Any) -> bool | None:
        """Raises: Unreadable."""
        if isinstance(data, bool):
            return data
        if isinstance(data, (int, str)):
            word = str(data).lower() if isinstance(data, str) or data in (0, 1) else ""
            if word in _YES | _NO:
                return word in _YES
        raise self.invalid("must be true or false, or 1 or 0")
