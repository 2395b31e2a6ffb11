"""The site's settings with all that any part of it could say: everything is logged, each statement included."""

from __future__ import annotations

from typing import Any

from lsp_site import settings as ours
from lsp_site.settings import *  # noqa: F403

#: Its lines may repeat a URL, which is a secret: nobody turns it on.
_QUIET = ("apprise",)
_theirs: dict[str, Any] = ours.LOGGING
_loggers: dict[str, Any] = _theirs["loggers"]

DEBUG = True  # Django keeps statements, and tells them
LOGGING = {  # type: ignore[assignment]
    **_theirs,
    "root": {"handlers": ["stderr"], "level": "DEBUG"},
    "loggers": {name: logger | ({} if name in _QUIET else {"level": "DEBUG"}) for name, logger in _loggers.items()}
    | {"django.db.backends": {"handlers": [], "level": "DEBUG", "propagate": True}},
}
