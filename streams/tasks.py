"""What django-q2 runs of the lanes. Named in orders/tasks.py."""

from __future__ import annotations

import os
from multiprocessing import util
from typing import Final

from orders import locks
from streams import standby
from streams.alone import StandIn

#: The one of this process. By number, since a fork inherits the entry and not the thread.
_stand_ins: Final[dict[int, StandIn]] = {}


def keep_the_lane() -> str:
    """Somebody waits for peers: the streams process; or, from now on and beside this queue, a thread of ours.

    Repeat: safe, one of all our processes does.
    """
    if locks.is_held(locks.STREAMS) or locks.is_held(locks.LANE):
        return "held"
    standing_in = _stand_ins.get(os.getpid())
    if standing_in is None or not standing_in.is_running:
        standing_in = _stand_ins[os.getpid()] = StandIn(standby.database())
        # A process of the queue that ends waits for its threads, and they for peers.
        util.Finalize(standing_in, standing_in.stop, exitpriority=100)
        standing_in.start()
    return "begun"
