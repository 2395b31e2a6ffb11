"""LSPS5's words: which webhook a peer registers, and what it is told of its own. Spec: bLIP-55."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.conf import settings

from lsps.reading import Params
from lsps.refusing import (
    APP_NAME_NOT_FOUND,
    NOT_AVAILABLE,
    PROTOCOL_UNSUPPORTED,
    TOO_LONG,
    TOO_MANY_WEBHOOKS,
    URL_UNREADABLE,
    Refusal,
)
from orders.models.waking import LONGEST_NAME, LONGEST_URL
from orders.waking import registering, urls
from orders.waking.registering import Registered, TooMany, TooManyInAll

#: No message holds more.
_ANY_LENGTH: Final = 65_533


class Wanted(NamedTuple):
    """What set_webhook asks for."""

    app_name: str
    url: str


def read_set(sent: Any) -> Wanted:
    """Raises: Refusal."""
    params = Params(sent, {"app_name", "webhook"})
    wanted = Wanted(_name(params), params.filled("webhook", longest=_ANY_LENGTH))
    if len(wanted.url) > LONGEST_URL:
        raise _too_long("webhook", LONGEST_URL, "characters")
    try:
        urls.read(wanted.url)
    except urls.BadScheme as bad:
        raise Refusal(PROTOCOL_UNSUPPORTED, str(bad), "webhook") from None
    except urls.BadUrl as bad:
        raise Refusal(URL_UNREADABLE, str(bad), "webhook") from None
    return wanted


def read_remove(sent: Any) -> str:
    """The name. Raises: Refusal."""
    return _name(Params(sent, {"app_name"}))


def _name(params: Params) -> str:
    name = params.filled("app_name", longest=_ANY_LENGTH)
    if len(name.encode()) > LONGEST_NAME:
        raise _too_long("app_name", LONGEST_NAME, "bytes")
    return name


def _too_long(parameter: str, most: int, unit: str) -> Refusal:
    return Refusal(TOO_LONG, f"{parameter} must not have more than {most} {unit}.", parameter)


def register(pubkey: str, wanted: Wanted) -> dict[str, Any]:
    """The answer to set_webhook. Raises: Refusal."""
    most = settings.LSPS5_WEBHOOKS_PER_PEER
    try:
        done: Registered = registering.register(pubkey, wanted.app_name, wanted.url)
    except TooMany:
        raise Refusal(TOO_MANY_WEBHOOKS, f"There may be {most} webhooks.", facts={"max_webhooks": most}) from None
    except TooManyInAll:
        raise Refusal(NOT_AVAILABLE, "We remember no more webhooks now.", again_in_seconds=3600) from None
    return {"num_webhooks": done.number, "max_webhooks": most, "no_change": not done.is_changed}


def listed(pubkey: str) -> dict[str, Any]:
    """The answer to list_webhooks."""
    return {"app_names": registering.names(pubkey), "max_webhooks": settings.LSPS5_WEBHOOKS_PER_PEER}


def remove(pubkey: str, app_name: str) -> dict[str, Any]:
    """The answer to remove_webhook. Raises: Refusal."""
    if not registering.remove(pubkey, app_name):
        raise Refusal(APP_NAME_NOT_FOUND, "There is no webhook of this name.", "app_name")
    return {}
