"""The chain: one btcd that keeps it, mines it and takes it back."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import ssl
from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.regtest.bitcoin import COIN_SAT, OUR_ADDRESS, OURS, Coin, Output, Tip, block, script_of, spend_ours
from tests.regtest.processes import Program, ProgramDied, free_port
from tests.regtest.waiting import until

#: Blocks after which segwit and taproot are active on regtest (three windows of 144).
ACTIVATION_BLOCKS = 440
#: Blocks after which a miner may spend its reward.
MATURITY_BLOCKS = 100
#: What our own transactions pay; far above every fee floor that a test sets.
FEE_SAT = 100_000
#: Calls sent at once where there are many.
_BATCH = 100


class Refused(RuntimeError):
    """btcd answered with an error."""


class Btcd(Program):
    """A regtest node with its own miner.

    What it mines belongs to a script that anybody may spend: see `send`.
    """

    def __init__(self, binaries: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__("btcd", folder / "btcd.log")
        self.folder = folder
        self.rpc_port = free_port()
        self.p2p_port = free_port()
        self.rpc_user = "regtest"
        self.rpc_password = secrets.token_hex(16)
        self.certificate = folder / "rpc.cert"
        self._program = binaries / "btcd"
        self._coins: deque[Coin] = deque()
        self._next_reward_height = 1
        self._sent: dict[str, Coin] = {}

    # The process

    def start(self, *flags: str) -> None:
        """btcd runs and answers; the chain is where it was, the mempool is empty."""
        self.launch([str(self._program), *self._flags(), *flags])
        until(self._answers, "btcd answers")

    def restart(self, *flags: str) -> None:
        """The same chain, an empty mempool, other flags.

        Nodes must not look meanwhile (see `Network.restart_chain`): btcd begins every regtest run from nothing, so the
        blocks are carried over.
        """
        hashes = self._batch("getblockhash", [[height] for height in range(1, self.height + 1)])
        blocks = self._batch("getblock", [[each, 0] for each in hashes])
        self.terminate()
        self.start(*flags)
        self._batch("submitblock", [[each] for each in blocks])
        if self.best_block != hashes[-1]:
            raise Refused("btcd did not take its own blocks back")

    def _flags(self) -> list[str]:
        return [
            "--regtest",
            f"--configfile={self.folder / 'btcd.conf'}",  # there is none: a developer's own is not read
            f"--datadir={self.folder / 'data'}",
            f"--logdir={self.folder / 'logs'}",
            f"--rpccert={self.certificate}",
            f"--rpckey={self.folder / 'rpc.key'}",
            f"--rpcuser={self.rpc_user}",
            f"--rpcpass={self.rpc_password}",
            f"--rpclisten=127.0.0.1:{self.rpc_port}",
            f"--listen=127.0.0.1:{self.p2p_port}",
            f"--miningaddr={OUR_ADDRESS}",
            "--rpcmaxclients=200",
            "--rpcmaxwebsockets=200",
            "--txindex",
            "--rejectnonstd",
            "--nobanning",
            "--nostalldetect",
            "--trickleinterval=100ms",
        ]

    def _answers(self) -> bool:
        if not self.is_running:
            raise ProgramDied(f"btcd ended at start:\n{self.log_tail()}")
        try:
            self.rpc("getblockcount")
        except (OSError, http.client.HTTPException):
            return False  # its certificate or its port is not there yet
        return True

    def rpc(self, method: str, *parameters: Any) -> Any:
        """The answer to one JSON-RPC call. Raises: Refused; OSError when btcd cannot be reached."""
        return _result(self._post({"jsonrpc": "1.0", "id": 1, "method": method, "params": parameters}), method)

    def _batch(self, method: str, calls: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to many calls of one method, in order, over few connections."""
        answers: list[Any] = []
        for start in range(0, len(calls), _BATCH):
            batch = calls[start : start + _BATCH]
            said = [{"jsonrpc": "2.0", "id": n, "method": method, "params": each} for n, each in enumerate(batch)]
            heard = sorted(self._post(said), key=lambda answer: int(answer["id"]))
            answers += [_result(answer, method) for answer in heard]
        return answers

    def _post(self, message: Any, timeout: float = 120) -> Any:
        login = base64.b64encode(f"{self.rpc_user}:{self.rpc_password}".encode()).decode()
        trust = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self.rpc_port, timeout=timeout, context=trust)
        try:
            connection.request("POST", "/", json.dumps(message), {"Authorization": f"Basic {login}"})
            return json.loads(connection.getresponse().read(), parse_float=Decimal)
        finally:
            connection.close()

    # Looking

    @property
    def height(self) -> int:
        return int(self.rpc("getblockcount"))

    @property
    def best_block(self) -> str:
        return str(self.rpc("getbestblockhash"))

    def mempool(self) -> list[str]:
        """The ids of the transactions that wait for a block."""
        return list(self.rpc("getrawmempool"))

    def transaction(self, txid: str) -> dict[str, Any]:
        """A transaction of the chain or the mempool, decoded. Raises: Refused when there is none."""
        return dict(self.rpc("getrawtransaction", txid, 1))

    def raw_transaction(self, txid: str) -> str:
        return str(self.rpc("getrawtransaction", txid))

    def confirmations(self, txid: str) -> int:
        return int(self.transaction(txid).get("confirmations", 0))

    # Mining

    def mine(self, blocks: int = 1) -> None:
        """The chain is longer by `blocks`; the mempool is in the first of them."""
        self.rpc("generate", blocks)

    def mine_only(self, transactions: Iterable[str] = ()) -> str:
        """One block with just these transactions (hex, parents first); the mempool waits on. Its hash.

        Raises: Refused when a transaction does not fit the chain.
        """
        return self._submit(self._tip(self.best_block), transactions).hash

    def mine_without(self, txids: Iterable[str]) -> str:
        """One block with the mempool but these transactions and what spends them. Its hash."""
        left_out = set(txids)
        waiting: dict[str, Any] = dict(self.rpc("getrawmempool", True))
        chosen: dict[str, None] = {}  # in order, so that parents come first
        while ready := [
            txid for txid, entry in waiting.items() if txid not in left_out and chosen.keys() >= set(entry["depends"])
        ]:
            chosen |= dict.fromkeys(ready)
            for txid in ready:
                del waiting[txid]
        return self.mine_only([self.raw_transaction(txid) for txid in chosen])

    def reorganise(self, depth: int, replacement: Iterable[str] | None = None) -> None:
        """A branch longer by one has taken the place of the last `depth` blocks, all at once, as on a real network.

        Without `replacement` the transactions of the lost blocks are in the first new one. With it, these transactions
        (hex, parents first) and nothing else are in the first new block. The other new blocks are empty.
        """
        height = self.height
        if replacement is None:
            replacement = self._transactions_since(height - depth)
        tip = self._tip(self.rpc("getblockhash", height - depth))
        tip = self._submit(tip, replacement)
        for _ in range(depth):
            tip = self._submit(tip, ())
        if self.best_block != tip.hash:
            raise Refused("btcd did not follow the longer branch")

    def _transactions_since(self, height: int) -> list[str]:
        """What the blocks above `height` hold, without the rewards."""
        hashes = [self.rpc("getblockhash", each) for each in range(height + 1, self.height + 1)]
        return [self.raw_transaction(txid) for each in hashes for txid in self.rpc("getblock", each, 1)["tx"][1:]]

    def _tip(self, block_hash: str) -> Tip:
        header = self.rpc("getblockheader", block_hash)
        return Tip(header["hash"], header["height"], header["time"], header["bits"])

    def _submit(self, tip: Tip, transactions: Iterable[str]) -> Tip:
        """btcd has a new block on `tip` with these transactions; the block, to build on."""
        pairs = [(self.rpc("decoderawtransaction", raw)["txid"], raw) for raw in transactions]
        made = block(tip, pairs)
        if refusal := self.rpc("submitblock", made.hex):
            raise Refused(f"submitblock: {refusal}")
        return made.tip

    # Paying, from what was mined

    def send_raw(self, transaction: str) -> str:
        """The transaction (hex) is in the mempool; its id. Raises: Refused."""
        return str(self.rpc("sendrawtransaction", transaction))

    def send(self, address: str, amount_sat: int, *, times: int = 1) -> str:
        """One transaction in the mempool with `times` outputs of `amount_sat` to `address`; its id."""
        return self.pay([(address, amount_sat)] * times)

    def pay(self, payments: Sequence[tuple[str, int]]) -> str:
        """One transaction in the mempool that makes these payments; its id."""
        outputs = [Output(script_of(address), amount_sat) for address, amount_sat in payments]
        total_sat = sum(output.amount_sat for output in outputs) + FEE_SAT
        coin = self._coin(total_sat)
        change_sat = coin.amount_sat - total_sat
        txid = self.send_raw(spend_ours([coin], [*outputs, Output(OURS, change_sat)]))
        self._sent[txid] = coin
        self._coins.appendleft(Coin(txid, len(outputs), change_sat))
        return txid

    def pay_each(self, payments: Sequence[tuple[str, int]]) -> list[str]:
        """As `pay`, with a transaction in the mempool for each payment; their ids. None can be taken back."""
        split = self.pay([(OUR_ADDRESS, amount_sat + FEE_SAT) for _, amount_sat in payments])
        spending = [
            spend_ours([Coin(split, vout, amount_sat + FEE_SAT)], [Output(script_of(address), amount_sat)])
            for vout, (address, amount_sat) in enumerate(payments)
        ]
        return [str(txid) for txid in self._batch("sendrawtransaction", [[each] for each in spending])]

    def rival_of(self, txid: str) -> str:
        """A transaction (hex) that takes back what `send` or `pay` sent: only one of the two can confirm.

        Meant for `mine_only` and `reorganise`; the mempool refuses it while it has the other.
        """
        coin = self._sent[txid]
        return spend_ours([coin], [Output(OURS, coin.amount_sat - 2 * FEE_SAT)])

    def _coin(self, at_least_sat: int) -> Coin:
        """A coin of ours that can be spent now, and is not offered again."""
        too_small: list[Coin] = []
        while self._coins or self._find_reward():
            coin = self._coins.popleft()
            if self.rpc("gettxout", coin.txid, coin.vout, True) is None:
                continue  # spent, or lost in a reorganisation
            if coin.amount_sat > at_least_sat:
                self._coins.extend(too_small)
                return coin
            too_small.append(coin)
        raise ValueError(f"no mined coin holds {at_least_sat / COIN_SAT:.8f} BTC")

    def _find_reward(self) -> bool:
        """One more mature reward is among the coins, if there is one."""
        if self._next_reward_height + MATURITY_BLOCKS > self.height:
            return False
        reward_block = self.rpc("getblock", self.rpc("getblockhash", self._next_reward_height), 1)
        reward = self.transaction(reward_block["tx"][0])
        amount_sat = int(reward["vout"][0]["value"] * COIN_SAT)
        self._coins.append(Coin(reward["txid"], 0, amount_sat))
        self._next_reward_height += 1
        return True


def _result(answer: dict[str, Any], method: str) -> Any:
    if problem := answer.get("error"):
        raise Refused(f"{method}: {problem['message']}")
    return answer["result"]
