"""Serializers that are made once."""

from __future__ import annotations

from functools import cache
from typing import Any

from rest_framework.serializers import Serializer


@cache
def once(kind: type[Serializer[Any]]) -> Serializer[Any]:
    """The serializer of this kind that all requests share: DRF copies each field for each that is made.

    For what is read or shown by the value alone: it has no data, no instance and no context of its own.
    """
    return kind()
