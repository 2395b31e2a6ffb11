"""What could be wrong, each looked at by one small function. Reads only: nothing is mended here."""

from orders.doctor.examination import quick, thorough
from orders.doctor.finding import Finding, Health

__all__ = ["Finding", "Health", "quick", "thorough"]
