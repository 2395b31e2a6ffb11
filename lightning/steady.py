"""What a node says of itself at a moment, asked again where it may only be of that moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from lightning.node import LndNode
from lightning.types import NodeInfo

#: At each block it takes LND's parts so long to have read it, and until then it says that it is not synced.
_PAUSES_SECONDS: Final = (0.1, 0.2, 0.4, 0.8)


def info_once(holds: Callable[[NodeInfo], bool], node: LndNode) -> NodeInfo:
    """What the node says of itself as soon as this holds, or after a second and a half all the same.

    Raises: NodeUnavailable.
    """
    info = node.info()
    for pause in _PAUSES_SECONDS:
        if holds(info):
            break
        time.sleep(pause)
        info = node.info()
    return info
