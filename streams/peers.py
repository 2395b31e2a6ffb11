"""What peers say to us, for as long as a session with the node lasts: a door beside the others, where we may open it.

Whatever goes wrong here ends here: the node's other subscriptions, which orders are quick by, do not end with it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from django.conf import settings

from lightning import connection as lightning
from lightning import rights
from lightning.errors import LightningError, NodeUnavailable
from lightning.rights import Feature
from lightning.streams import LndStreams
from lsps.bolt8 import announcing
from orders.outage import Outage
from streams.desk import Desk
from streams.hands import Hands

log = logging.getLogger(__name__)

#: So soon another macaroon, or a node that is there again, is noticed.
_AGAIN_SECONDS: Final = 60.0
_SOON_SECONDS: Final = 1.0
_ANNOUNCE_SECONDS: Final = 3600.0


async def answer(node: LndStreams, desk: Desk, hands: Hands) -> None:
    """What peers ask is answered, until this is cancelled, if staff want it and our macaroon allows it."""
    if not settings.LSPS1_OVER_LIGHTNING:
        await asyncio.Event().wait()
    trouble = Outage(log, "what peers say")
    while True:
        try:
            if lacking := await hands.do(_lacking, Feature.MESSAGES):
                log.info("LSPS1 over Lightning is off: the macaroon does not allow %s", lacking)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            async for message in node.custom_messages():
                trouble.over()
                desk.heard(message)
        except LightningError as problem:
            trouble.begun(problem)
        except Exception:
            log.exception("a defect of ours; peers are listened to anew")
        finally:
            desk.forget()
        await asyncio.sleep(_SOON_SECONDS)


async def announce(hands: Hands) -> None:
    """The network is told that we answer, again and again: a node that starts anew has forgotten it."""
    if not (settings.LSPS1_OVER_LIGHTNING and settings.LSPS1_ANNOUNCED):
        await asyncio.Event().wait()
    while True:
        await hands.follow(_announce)
        await asyncio.sleep(_ANNOUNCE_SECONDS)


def _announce() -> None:
    try:
        if not any(_lacking(feature) for feature in (Feature.MESSAGES, Feature.ANNOUNCING)):
            announcing.announce(lightning.node())
    except LightningError as problem:
        log.warning("the node does not announce that we speak LSPS1: %s", problem)


def _lacking(feature: Feature) -> str:
    try:
        return rights.lacking(feature, lightning.node())
    except NodeUnavailable as problem:
        return f"nothing yet: {problem}"
