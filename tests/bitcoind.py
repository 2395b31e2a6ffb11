"""A Bitcoin node's RPC by script: a chain and a mempool of dictionaries, and whatever it should do instead."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USER, PASSWORD = "lsp", "hush-hush@word"
WRITTEN_PASSWORD = "hush-hush%40word"
BLOCK = "bb" * 32
_COIN_SAT = 10**8


class Bitcoind:
    """`spend` puts a transaction into its mempool; `instead` answers in its place (bytes, or what JSON can say)."""

    def __init__(self) -> None:
        self.height = 800
        self.mempool: dict[str, dict[str, Any]] = {}
        self.chain: dict[tuple[str, int], int] = {}
        self.scripts: dict[tuple[str, int], str] = {}
        self.instead: Callable[[list[dict[str, Any]]], Any] | None = None
        self.status = 200
        self.asked: list[str] = []
        self.before_answering: Callable[[], Any] = lambda: None
        self.url = ""

    def mined(self, txid: str, index: int, amount_sat: int) -> tuple[str, int]:
        self.chain[txid, index] = amount_sat
        return txid, index

    def spend(self, txid: str, points: list[tuple[str, int]], outputs_sat: list[int], *, weight: int = 600) -> None:
        self.mempool[txid] = {
            "txid": txid,
            "weight": weight,
            "vin": [{"txid": parent, "vout": index, "sequence": 2**32 - 3} for parent, index in points],
            "vout": [self._output(txid, n, sat) for n, sat in enumerate(outputs_sat)],
        }

    def _output(self, txid: str, n: int, sat: int) -> dict[str, Any]:
        return {"n": n, "value": _coins(sat), "scriptPubKey": {"hex": self.scripts.get((txid, n), "51")}}

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(call["method"])
        given = call["params"]
        match call["method"]:
            case "getblockcount":
                result: Any = self.height
            case "getblockhash":
                result = BLOCK
            case "getrawtransaction":
                result = self.mempool.get(given[0])
            case "gettxout":
                sat = self.chain.get((given[0], given[1]))
                script = {"scriptPubKey": {"hex": self.scripts.get((given[0], given[1]), "51")}}
                result = None if sat is None else {"value": _coins(sat), **script}
            case _:
                return {"id": call["id"], "error": {"code": -32601, "message": PASSWORD}}
        if result is None and call["method"] == "getrawtransaction":
            return {"id": call["id"], "error": {"code": -5, "message": "No such mempool transaction."}}
        return {"id": call["id"], "result": result}

    def said(self, calls: list[dict[str, Any]]) -> bytes:
        answers = [self.answer(call) for call in calls] if self.instead is None else self.instead(calls)
        return answers if isinstance(answers, bytes) else json.dumps(answers).encode()


def _coins(sat: int) -> float:
    return float(Decimal(sat) / _COIN_SAT)


@contextmanager
def running(node: Bitcoind) -> Iterator[str]:
    """It listens; its URL, with user and password."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            node.before_answering()
            login = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
            status = node.status if self.headers["Authorization"] == login else 401
            said = node.said(calls) if status == 200 else b"no"
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://{USER}:{WRITTEN_PASSWORD}@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
