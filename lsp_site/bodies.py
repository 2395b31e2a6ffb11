"""Bodies of unknown length, and answers without one.

Proxies stream bodies in chunks, with no length announced, and Django reads no more than is announced. Django makes a
body for HEAD too.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, NoReturn
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class LengthKnown:
    """An application of WSGI that is told how long a body is which came in chunks.

    The server has taken the chunks apart. At most one byte more is read than any request of ours may have: whoever
    reads the body then refuses it as too large, in its own manner.
    """

    def __init__(self, application: WSGIApplication, most_bytes: int) -> None:
        self._application = application
        self._most_bytes = most_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The application's answer; 411 from a server that does not say where such a body ends."""
        if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
            if not environ.get("wsgi.input_terminated"):
                start_response("411 Length Required", [("Content-Length", "0")])
                return []
            self._measure(environ)
        return self._application(environ, start_response)

    def _measure(self, environ: WSGIEnvironment) -> None:
        try:
            body = environ["wsgi.input"].read(self._most_bytes + 1)
        except OSError:  # the client hung up: half a body must not be taken for a whole one
            environ |= {"wsgi.input": _CutOff(), "CONTENT_LENGTH": "1"}
        else:
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


class HeadAlone:
    """An application of WSGI whose answers to HEAD are GET's headers, with its Content-Length, and no body.

    So RFC 9110, 9.3.2, has it. gunicorn drops a body that comes all the same, with a warning for each.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The application's answer, closed already where its body is not sent."""
        answer = self._application(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return answer
        if close := getattr(answer, "close", None):
            close()
        return []


class _CutOff(io.RawIOBase):
    """A body that did not come whole."""

    def read(self, size: int = -1, /) -> NoReturn:
        """Raises: OSError."""
        raise OSError("The body ended early.")

    def readline(self, size: Any = -1, /) -> NoReturn:
        """Raises: OSError."""
        self.read()
