"""The channels that we sold, by what the node calls them in its history; and the orders that something moved."""

from __future__ import annotations

from typing import Final

#: As its index has it, word for word.
KNOWN_AS: Final = "coalesce(nullif(alias, ''), short_channel_id)"

#: Of each order the last attempt that came to a channel, `a`.
LAST: Final = """
a.state IN ('published', 'confirmed') AND NOT EXISTS (
    SELECT FROM orders_channelopening AS later WHERE later.order_id = a.order_id AND later.attempt > a.attempt
       AND later.state IN ('published', 'confirmed'))
"""

SOLD: Final = f"""
SELECT a.order_id, a.short_channel_id, a.node_pubkey, a.capacity_sat, {KNOWN_AS} AS known_as
  FROM orders_channelopening AS a WHERE {LAST}
"""  # noqa: S608  our own words only

#: Those of them that anything went through on these days.
USED: Final = f"""
{SOLD} AND {KNOWN_AS} IN (
    SELECT channel_out FROM orders_forwardday WHERE day >= %(first)s AND day <= %(last)s
     UNION SELECT channel_in FROM orders_forwardday WHERE day >= %(first)s AND day <= %(last)s)
"""  # noqa: S608  our own words only

#: A forward earns once: for the channel that it left by, or where that is none of those that we sold, for the one
#: that it came by.
ROUTED: Final = """
SELECT d.day, coalesce(went.order_id, came.order_id) AS order_id, d.forwards, d.in_msat, d.out_msat
  FROM orders_forwardday d
  LEFT JOIN used went ON went.known_as = d.channel_out
  LEFT JOIN used came ON came.known_as = d.channel_in
 WHERE d.day >= %(first)s AND d.day <= %(last)s
"""
