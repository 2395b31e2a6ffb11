"""gunicorn's configuration: `gunicorn --config python:lsp_site.running.gunicorn lsp_site.wsgi`.

Never with preload: connections made before a fork would be shared.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lsp_site.settings")

from django.conf import settings
from django.urls import get_resolver
from gunicorn.glogging import Logger

from orders import garbage


class logger_class(Logger):  # type: ignore[misc]  # noqa: N801  gunicorn's name for it, and it has no types
    """Of a request nothing is made ready that nobody has asked to be logged."""

    def access(self, *request: Any) -> None:
        """As gunicorn has it, where there is a log of requests."""
        if self.cfg.accesslog:
            super().access(*request)


bind = f"{settings.LISTEN_HOST}:{settings.LISTEN_PORT}"
workers = settings.WEB_PROCESSES
worker_class = "lsp_site.serving.worker.Worker"
threads = 4  # for all that does not wait for the node; purchases have their own
sendfile = False  # an answer is kept until the client takes it, and no thread with it
limit_request_fields = 64
timeout = 60
graceful_timeout = 20
keepalive = 5
max_requests = 0
preload_app = False
forwarded_allow_ips = ""  # lsp_site.middleware decides whom to believe
control_socket_disable = True
proc_name = "lsp-web"
#: Who has paid comes before who would buy, of the processor too: what opens channels, settles and returns goes first,
#: and however many ask, the processes that they ask take a third as much as one of those.
_NICE = 5
_loggers: Any = settings.LOGGING["loggers"]
logconfig_dict = settings.LOGGING | {
    "loggers": {
        **_loggers,
        "gunicorn.error": {"handlers": [], "level": "INFO", "propagate": True},
        "gunicorn.access": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    }
}


def post_fork(_server: Any, _worker: Any) -> None:
    """Each process that answers requests steps back."""
    os.nice(_NICE)


def post_worker_init(_worker: Any) -> None:
    """All that requests need is there before the first of them."""
    _ = get_resolver().url_patterns
    garbage.settle()
