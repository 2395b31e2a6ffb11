"""Bitcoin Core's JSON-RPC as far as ldk-node speaks it, in front of btcd.

The two differ where Core knows more: what fees are usual, how much work is in the chain, a transaction's entry in the
mempool. What is not named here is asked of btcd as it is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.regtest.btcd import Btcd, Refused

#: What Core's estimates are in: BTC for 1000 vbytes. Five satoshis for each, and one at least.
_USUAL, _LEAST = 0.00005, 0.00001
#: Every block of a regtest chain adds so much to the work in it.
_WORK = 2
#: Core's codes for "there is none" and "ask again later".
_NONE, _LATER = -5, -28


class BitcoinCore:
    """A server on 127.0.0.1, for as long as the context lasts."""

    def __init__(self, chain: Btcd) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, chain))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="core", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the caller keeps its connection

    def __init__(self, chain: Btcd, *arguments: Any) -> None:
        self._chain = chain
        super().__init__(*arguments)

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"id": call["id"], **self._answer(call["method"], call["params"])}, default=float).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, method: str, parameters: list[Any]) -> dict[str, Any]:
        try:
            return {"result": answer(self._chain, method, parameters), "error": None}
        except Refused as refusal:
            return {"result": None, "error": {"code": _NONE, "message": str(refusal)}}
        except (OSError, HTTPException) as problem:
            return {"result": None, "error": {"code": _LATER, "message": str(problem)}}

    def log_message(self, *_: Any) -> None:
        """Nothing: a wallet asks twice a second."""


def answer(chain: Btcd, method: str, parameters: list[Any]) -> Any:
    """What Core would say. Raises: Refused; OSError when btcd cannot be reached."""
    ours: dict[str, Callable[..., Any]] = {
        "estimatesmartfee": lambda blocks, *_: {"feerate": _USUAL, "blocks": blocks},
        "getmempoolinfo": lambda: {"mempoolminfee": _LEAST},
        "getmempoolentry": partial(_entry, chain),
        "getblockheader": partial(_header, chain),
    }
    return ours.get(method, partial(chain.rpc, method))(*parameters)


def _entry(chain: Btcd, txid: str) -> Any:
    entries = chain.rpc("getrawmempool", True)
    if txid not in entries:
        raise Refused(f"{txid} is not in the mempool")
    return entries[txid]


def _header(chain: Btcd, block_hash: str) -> dict[str, Any]:
    header = dict(chain.rpc("getblockheader", block_hash))
    return header | {"chainwork": f"{_WORK * (header['height'] + 1):064x}"}
