"""What could be wrong, each looked at by one small function. Reads only: nothing is mended here."""

from watch.doctor.examination import quick, thorough
from watch.doctor.finding import Finding, Health

__all__ = ["Finding", "Health", "quick", "thorough"]
