"""The smallest application that shows how requests reach one; `POST …/channel/buy` waits as if for a node."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

from lsp_site.bodies import HeadAlone

_released = threading.Event()


def careless(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """What was asked, in few or in many bytes."""
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"].read()
    if path.endswith("/channel/buy"):
        _released.wait(30)
    if path == "/release":
        _released.set()
    if path == "/defect":
        raise ValueError("a defect")
    said = b"x" * 8_000_000 if path == "/big" else b"%s %d" % (path.encode(), len(body))
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return [said]


application = HeadAlone(careless)
