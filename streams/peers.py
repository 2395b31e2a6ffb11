"""What peers say to us, for as long as a session with the node lasts: a door beside the others, where we may open it.

Whatever goes wrong here ends here: the node's other subscriptions, which orders are quick by, end only with the node.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from django.conf import settings

from lightning import connection as lightning
from lightning import rights
from lightning.errors import LightningError
from lightning.rights import Feature
from lightning.streams import LndStreams
from lsps.bolt8 import announcing
from orders import outage
from orders.outage import Outage
from streams.desk import Desk
from streams.hands import Hands

log = logging.getLogger(__name__)

#: So soon another macaroon is noticed.
_AGAIN_SECONDS: Final = 60.0
_SOON_SECONDS: Final = 1.0
_ANNOUNCE_SECONDS: Final = 3600.0


async def answer(node: LndStreams, desk: Desk, hands: Hands) -> None:
    """What peers ask is answered, until this is cancelled, if staff want it and our macaroon allows it.

    Raises: LightningError once the node is away, as its other subscriptions do.
    """
    trouble = Outage(log, "what peers say")
    while True:
        try:
            await _listen(node, desk, hands)
        except LightningError as problem:
            await asyncio.sleep(_SOON_SECONDS)
            if await hands.do(_node_is_away):
                raise
            trouble.begun(problem)
        except Exception:
            log.exception("a defect of ours; peers are listened to anew")
            await asyncio.sleep(_SOON_SECONDS)
        finally:
            desk.forget()


async def _listen(node: LndStreams, desk: Desk, hands: Hands) -> None:
    """Raises: LightningError."""
    if not settings.LSPS1_OVER_LIGHTNING:
        await asyncio.Event().wait()
    if lacking := await hands.do(_lacking, Feature.MESSAGES):
        log.info("LSPS1 over Lightning is off: the macaroon does not allow %s", lacking)
    while lacking:
        await asyncio.sleep(_AGAIN_SECONDS)
        lacking = await hands.do(_lacking, Feature.MESSAGES)
    desk.is_open = True
    async for message in node.custom_messages():
        desk.heard(message)


async def announce(hands: Hands) -> None:
    """The network is told that we answer, again and again: a node that starts anew has forgotten it."""
    if not (settings.LSPS1_OVER_LIGHTNING and settings.LSPS1_ANNOUNCED):
        await asyncio.Event().wait()
    while True:
        is_announced = await hands.do(_announce)
        await asyncio.sleep(_ANNOUNCE_SECONDS if is_announced else _AGAIN_SECONDS)


def _announce() -> bool:
    """Whether it is announced now. Never raises: nothing but this depends on it."""
    try:
        if any(_lacking(feature) for feature in (Feature.MESSAGES, Feature.ANNOUNCING)):
            return False
        announcing.announce(lightning.node())
    except LightningError as problem:
        if not _node_is_away():
            log.warning("the node does not announce that we speak LSPS1: %s", problem)
        return False
    except Exception:
        log.exception("a defect of ours; the node does not announce that we speak LSPS1")
        return False
    return True


def _lacking(feature: Feature) -> str:
    return rights.lacking(feature, lightning.node())


def _node_is_away() -> bool:
    return outage.of_node().explains(lightning.node())
