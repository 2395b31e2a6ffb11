"""The whole simulated world: what it remembers, and how one thing leads to another."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from simulator import events, files, scripts
from simulator.chain import Block, Chain
from simulator.channels import (
    COMMIT_FEE_SAT,
    LOCAL_FORCE,
    OUR_COOPERATIVE,
    REMOTE_FORCE,
    Channel,
    Channels,
    Negotiations,
)
from simulator.events import Events
from simulator.forwards import Forwards
from simulator.invoices import SETTLED, Invoices
from simulator.macaroons import Macaroons
from simulator.passing import Passed, Passing
from simulator.peers import Customers
from simulator.refused import Refused
from simulator.rest import Rest
from simulator.scripts import Output, Point, Tx
from simulator.sync import Sync
from simulator.telling import Telling
from simulator.wallet import Wallet

_STATE = "state"
#: All of it is written each time, so with much of it each call would take long.
_MUCH_BYTES = 1_000_000
_PAUSE_SECONDS = 1.0
_FIRST_CUSTOMERS = ("alice", "bob", "carol", "dave")


@dataclass(frozen=True)
class Beginning:
    """What a world is like at its first start; later ones go on as it was left."""

    alias: str = "simulator"
    seed: bytes = b""  # of all keys; empty: a random one
    coins: int = 5
    coin_sat: int = 2 * 10**8


@dataclass
class Kept:
    """What survives the simulator's own end, however sudden."""

    alias: str
    seed: bytes
    chain: Chain
    wallet: Wallet
    invoices: Invoices
    channels: Channels
    customers: Customers
    macaroons: Macaroons
    clock_ahead_seconds: int = 0
    forwards: Forwards | None = None  # None: of an earlier version's world
    rest: Rest | None = None  # None: nothing, or of an earlier version's world
    passed: Passed | None = None  # None: of an earlier version's world


class World:
    """One node, its chain and its customers, in the folder `home`."""

    def __init__(self, home: Path, beginning: Beginning) -> None:
        self.sync = Sync()
        self.telling = Telling()
        self.events = Events()
        self._path = home / _STATE
        #: Something has changed since it was last on disk.
        self.is_unsaved = False
        self._next_save_at = 0.0
        kept = self._read()
        self.kept = kept or _new(beginning)
        self.chain, self.wallet, self.invoices = self.kept.chain, self.kept.wallet, self.kept.invoices
        self.channels, self.customers, self.macaroons = self.kept.channels, self.kept.customers, self.kept.macaroons
        self.forwards = self.kept.forwards = self.kept.forwards or Forwards()
        self.rest = self.kept.rest = self.kept.rest or Rest()
        self.kept.passed = self.kept.passed or Passed()
        self.passing = Passing(
            self.kept.passed,
            self.channels,
            self.customers,
            self.forwards,
            self.invoices.payments,
            height=lambda: self.chain.height,
            now=self.now,
            close=self.close,
        )
        self.began_at = self.now()
        #: Whether channel events name the parts of payments that come in, as LND's do from 0.21 on.
        self.tells_of_parts = True
        self.negotiations = Negotiations(self.channels, self.customers, self.now)
        #: Called with what every listener of a topic is to be told.
        self.announce: Callable[[str, object], None] = lambda topic, fact: None
        if kept is None:
            self._equip(beginning)
        else:
            self._came_back()
        self.save()

    # Time and memory

    def now(self) -> float:
        """Unix seconds, of a clock that can be set ahead."""
        return time.time() + self.kept.clock_ahead_seconds

    def save(self, *, at_once: bool = False) -> None:
        """All of it is on disk; where it is much, at most once a second, and a node that is killed forgets the last."""
        if not at_once and time.monotonic() < self._next_save_at:
            self.is_unsaved = True
            return
        content = pickle.dumps(self.kept, protocol=pickle.HIGHEST_PROTOCOL)
        files.write(self._path, content)
        self.is_unsaved = False
        self._next_save_at = time.monotonic() + (_PAUSE_SECONDS if len(content) > _MUCH_BYTES else 0)

    def _read(self) -> Kept | None:
        if not self._path.exists():
            return None
        kept = pickle.loads(self._path.read_bytes())  # noqa: S301  # our own file, readable by us alone
        if not isinstance(kept, Kept):
            raise TypeError(f"{self._path} is not the state of a simulator")
        return kept

    def _equip(self, beginning: Beginning) -> None:
        """Blocks, coins of the wallet six deep, and a few customers."""
        self.chain.begin()
        for _ in range(beginning.coins):
            self.deposit([(self.wallet.new_script(), beginning.coin_sat)])
        self.mine(6)
        for name in _FIRST_CUSTOMERS:
            self.customers.named(name)

    def _came_back(self) -> None:
        """As LND starts: customers with channels connect again, and what the mempool refuses now is forgotten."""
        for customer in self.customers.by_name.values():
            customer.is_connected = customer.presence == "online" and self.channels.has_open(customer.pubkey)
        for txid in list(self.wallet.unmined):
            try:
                self.chain.accept(self.chain.txs[txid])
            except Refused:
                self.wallet.forget(txid)
        self._publish_closes_again()
        self.invoices.replay()
        self.time_passed()
        self.passing.replay()

    def _publish_closes_again(self) -> None:
        """As LND does at each start, and customers' nodes: what ends a channel is kept beside the wallet.

        One that is refused is published at the next start (LND 0.21.3, contractcourt/chain_arbitrator.go, rebroadcast).
        """
        for channel in self.channels.alive():
            tx = self.chain.txs.get(channel.closing_txid)
            if tx is not None and not self.chain.depth(tx.txid):
                with suppress(Refused):
                    self.publish(tx)

    def time_passed(self) -> bool:
        """What only waits for the clock has happened; whether there was something."""
        self.invoices.time_passed(self.now())
        self.customers.time_passed(self.now())
        self.negotiations.time_passed()
        self.close_where_asked()
        self._close_what_is_funded_now()
        return self.tell()

    # The chain

    def publish(self, tx: Tx, *, label: str | None = None) -> None:
        """The transaction waits for a block, and the wallet knows of it where it is concerned. Raises: Refused."""
        is_new = tx.txid not in self.chain.mempool and tx.txid not in self.chain.mined
        self.chain.accept(tx)
        if self.wallet.learn(tx, at=int(self.now())):
            if label is not None:
                self.wallet.labels[tx.txid] = label
            if is_new:
                self.wallet.unmined[tx.txid] = None
                self.announce(events.TRANSACTIONS, tx.txid)

    def deposit(self, outputs: list[Output], *, replaceable: bool = False) -> str:
        """A stranger has sent a transaction with these outputs; its id. Raises: Refused."""
        sequence = scripts.REPLACEABLE_SEQUENCE if replaceable else scripts.FINAL_SEQUENCE
        txid = self.chain.pay(outputs, sequence=sequence)
        self._seen(txid)
        return txid

    def replace(self, txid: str, outputs: list[Output]) -> str:
        """Another transaction of the stranger has taken the first one's place in the mempool; its id."""
        tx = scripts.read(self.chain.rival(txid, outputs))
        self.chain.accept(tx)
        self._seen(tx.txid)
        return tx.txid

    def _seen(self, txid: str) -> None:
        if self.sync.wallet_reads and self.wallet.learn(self.chain.txs[txid], at=int(self.now())):
            self.wallet.unmined[txid] = None
            self.announce(events.TRANSACTIONS, txid)

    def mine(self, blocks: int = 1, only: list[str] | None = None) -> Block:
        """So many blocks; the first has the mempool, or only these transactions."""
        for number in range(blocks):
            self._connected(self.chain.mine(only if number == 0 else []))
        return self.chain.tip

    def reorganise(self, depth: int, replacement: list[bytes] | None = None) -> Block:
        """A branch longer by one has taken the place of the last `depth` blocks.

        Its first block has what the lost ones had, or the replacement and nothing else; then what is lost waits
        again, where it still can.
        """
        lost: list[str] = []
        for number in range(depth):
            block = self.chain.unmine()
            lost = block.txids + lost
            was_read = self.sync.block_went(block)
            # LND's wallet takes back the last block only, and goes on believing the others.
            for txid in block.txids if number == 0 and was_read else ():
                if self.wallet.mined.pop(txid, None):
                    self.wallet.unmined[txid] = None
        chosen = lost if replacement is None else [self.chain.add_unchecked(raw) for raw in replacement]
        self._connected(self.chain.mine(chosen))
        for txid in lost:
            self._wait_again(txid)
        for _ in range(depth):
            self._connected(self.chain.mine([]))
        return self.chain.tip

    def _wait_again(self, txid: str) -> None:
        try:
            self.chain.accept(self.chain.txs[txid])
        except Refused:
            return  # what took its place excludes it

    def _connected(self, block: Block) -> None:
        if self.sync.block_came(block):
            self._wallet_reads(block)
        for customer in self.customers.by_name.values():
            customer.pending = [point for point in customer.pending if not self.chain.depth(point[0])]
        self.invoices.block_came(block.height)
        self.channels.block_came(self.chain)
        self.passing.block_came(block.height)
        self.announce(events.BLOCKS, (block.hash, block.height))

    def let_wallet_read(self, reads: bool) -> None:
        """The wallet reads blocks as they come, those too that it has left lying; or it leaves them."""
        self.sync.wallet_reads = reads
        for block in self.sync.catch_up() if reads else ():
            self._wallet_reads(block)

    def _wallet_reads(self, block: Block) -> None:
        for txid in block.txids:
            tx = self.chain.txs[txid]
            if self.wallet.learn(tx, at=block.at):
                # Only what is the wallet's own makes it look for what is excluded now.
                for rival in self.wallet.rivals_of(tx, self.chain):
                    self.wallet.forget(rival)
                self.wallet.unmined.pop(txid, None)
                self.wallet.mined[txid] = (block.height, block.hash)
                self.announce(events.TRANSACTIONS, txid)

    def fill(self, *, channels: int, closed: int, invoices: int, transactions: int, blocks: int) -> None:
        """The node has so much at rest, its transactions in the blocks that come now."""
        first = self.chain.height + 1
        self.mine(blocks)
        seed = self.kept.seed
        self.rest = self.kept.rest = Rest(seed, channels, closed, invoices, transactions, first, self.chain.height)
        self.invoices.added_before = invoices

    # Channels and customers

    def is_active(self, channel: Channel) -> bool:
        """It is open and the customer is there."""
        customer = self.customers.find(channel.pubkey)
        return channel.stage == "open" and customer is not None and customer.is_connected

    def open_directly(self, name: str, *, capacity_sat: int, push_sat: int, by_us: bool, private: bool) -> Point:
        """A channel is pending that none of our own calls asked for, its funding in the mempool. Raises: Refused."""
        customer = self.customers.named(name)
        key_name, pk_script, _ = self.channels.new_keys()
        txid = self.deposit([(pk_script, capacity_sat)])
        local_sat = capacity_sat - push_sat - COMMIT_FEE_SAT if by_us else push_sat
        remote_sat = push_sat if by_us else capacity_sat - push_sat - COMMIT_FEE_SAT
        point = (txid, 0)
        channel = Channel(
            point, customer.pubkey, capacity_sat, push_sat, private, by_us, "", local_sat, remote_sat, key_name
        )
        channel.life = customer.lives
        self.channels.add(channel)
        return point

    def close(self, point: Point, close_type: str) -> str:
        """The channel is closing, its transaction in the mempool; its id. Raises: Refused."""
        channel = self.channels.by_point.get(point)
        if channel is None:
            raise Refused("there is no such channel")
        tx = self.channels.closing(
            channel, close_type, self.wallet.new_script(), max(500, self.chain.least_fee_sat(200))
        )
        if close_type in (LOCAL_FORCE, REMOTE_FORCE):
            self.passing.went_on_chain(channel)
        if self.chain.output(point) is None:
            channel.unheard = tx  # as LND does: it waits for a funding that nobody has published yet
        else:
            self.publish(tx)
        return tx.txid

    def _close_what_is_funded_now(self) -> None:
        for channel in self.channels.alive():
            if channel.unheard is not None and self.chain.output(channel.point) is not None:
                self.publish(channel.unheard)
                channel.unheard = None

    def require_closable(self, channel: Channel) -> None:
        """It can be closed together: it is open, and its customer connected. Raises: Refused."""
        if not self.is_active(channel):
            raise Refused(
                "unable to gracefully close channel while peer is offline (try force closing it instead): "
                "channel link not found"
            )

    def require_forceable(self, channel: Channel) -> None:
        """It is open, in whatever sense. Raises: Refused."""
        if channel.stage == "pending":
            raise Refused("unable to find arbitrator")
        if channel.stage != "open":
            raise Refused("channel is already in the process of being force closed")

    def close_where_asked(self) -> None:
        """What we asked for is done wherever the customer answers."""
        for channel in self.channels.alive():
            customer = self.customers.find(channel.pubkey)
            answers = customer is not None and customer.presence == "online"
            if channel.is_asked_to_close and answers and self.is_active(channel):
                self.close(channel.point, OUR_COOPERATIVE)

    def tell(self) -> bool:
        """Whoever listens has heard what changed; whether there was something."""
        something = False
        while True:
            invoices, self.invoices.changed = self.invoices.changed, []
            customers, self.customers.changed = self.customers.changed, []
            channels, self.channels.changed = self.channels.changed, []
            if not (invoices or customers or channels):
                return something
            something = True
            for payment_hash, stage in invoices:
                if self.tells_of_parts and stage != SETTLED and self.invoices.on_the_way(payment_hash):
                    self.announce(events.CHANNELS, ("parts", (payment_hash, 0)))
                self.announce(events.invoice(payment_hash), payment_hash)
                if stage == SETTLED:
                    self._balances_moved(payment_hash)
            for pubkey, is_online in customers:
                self._customer_changed(pubkey, is_online)
            for kind, point in channels:
                self._channel_changed(kind, point)

    def _balances_moved(self, payment_hash: str) -> None:
        """What a customer with a channel has paid is on our side of it."""
        for htlc in self.invoices.by_hash[payment_hash].htlcs:
            payer = self.customers.by_name.get(self.invoices.payments[htlc.payment_id].payer)
            amount_sat = htlc.amount_msat // 1000
            for channel in self.channels.alive(payer.pubkey) if payer and htlc.stage == SETTLED else ():
                if self.is_active(channel) and channel.remote_sat >= amount_sat:
                    channel.local_sat, channel.remote_sat = (
                        channel.local_sat + amount_sat,
                        channel.remote_sat - amount_sat,
                    )
                    self.channels.changed.append(("update", channel.point))
                    break

    def _customer_changed(self, pubkey: str, is_online: bool) -> None:
        self.announce(events.PEERS, (pubkey, is_online))
        if customer := self.customers.find(pubkey):
            self.negotiations.customer_changed(customer)
        for channel in self.channels.alive(pubkey):
            if channel.stage == "open":
                self.announce(events.CHANNELS, ("active" if is_online else "inactive", channel.point))
                if is_online:
                    self.passing.replay(channel.known_as)
        self.passing.look(pubkey)

    def _channel_changed(self, kind: str, point: Point) -> None:
        self.announce(events.CHANNELS, (kind, point))
        if kind == "open":
            self.negotiations.opened(point)
            if self.is_active(self.channels.by_point[point]):
                self.announce(events.CHANNELS, ("active", point))


def _new(beginning: Beginning) -> Kept:
    seed = hashlib.sha256(beginning.seed or os.urandom(32)).digest()
    return Kept(
        beginning.alias, seed, Chain(seed), Wallet(seed), Invoices(seed), Channels(seed), Customers(seed), Macaroons()
    )
