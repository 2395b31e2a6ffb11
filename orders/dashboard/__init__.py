"""The first page for staff: what needs a person, and the figures of a period in charts that one can read.

Nothing is counted here: `orders.figures` has every number, and this room has the words, the addresses of the lists and
what is drawn.
"""

from orders.dashboard.page import dashboard

__all__ = ["dashboard"]
