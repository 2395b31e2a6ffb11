"""Where the Bitcoin node is, and who we are to it."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

_URL = re.compile(r"(https?)://([^\s:@/]+):([^\s@/]+)@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """What a connection is made with. Its text shows no secret."""

    host: str
    port: int
    is_tls: bool
    authorization: str = field(repr=False)
    #: The path of the certificate that is trusted; "": the system's authorities.
    certificate: str = ""

    @classmethod
    def parse(cls, url: str, certificate: str = "") -> Self:
        """Read `http(s)://user:password@host:port`. Raises: ValueError that repeats nothing of it."""
        match = _URL.fullmatch(url)
        if match is None or not 0 < int(match[5]) < 65536:
            raise ValueError(
                "must be http(s)://user:password@host:port, with signs like @ in the password written as %40"
            )
        login = f"{unquote(match[2])}:{unquote(match[3])}".encode()
        authorization = f"Basic {b64encode(login).decode()}"
        return cls(match[4].strip("[]"), int(match[5]), match[1] == "https", authorization, certificate)
