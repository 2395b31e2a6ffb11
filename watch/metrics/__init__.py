"""The figures as Prometheus reads them. Nothing is counted here: whichever process answers, it asks the database."""

from watch.metrics.collector import CONTENT_TYPE, exposition

__all__ = ["CONTENT_TYPE", "exposition"]
