"""gunicorn's worker with threads, of which none ever waits for a client.

gunicorn's own reads requests and writes answers in its threads: a few clients that send a byte now and then keep all
of them, with no time-out. Here the worker's one loop does both for all connections, and a thread has whole requests.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from selectors import EVENT_READ, EVENT_WRITE
from socket import SHUT_WR, socket
from threading import Thread
from typing import Any, Final

from django.conf import settings
from gunicorn.http import RequestParser
from gunicorn.http.errors import LimitRequestHeaders, NoMoreData
from gunicorn.workers.gthread import ThreadWorker

from lsp_site.serving.connections import (
    ANSWER_SECONDS,
    LINGER_SECONDS,
    REQUEST_SECONDS,
    TOO_SLOW,
    Connection,
    Stage,
)
from lsp_site.serving.framing import Frame
from lsp_site.serving.lane import Lane, waits_for_node
from lsp_site.serving.refusing import TOO_LONG, refusal
from orders.api import turns

#: Of one process. Where there is no room, who holds the most makes some.
MOST_CONNECTIONS: Final = 500
_LOOK_SECONDS: Final = 0.5
_Job = tuple[Connection, bytes]


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """As gunicorn starts it: `run` is its loop, which calls what is overridden here."""

    def init_process(self) -> None:
        """It serves, until it is told to end."""
        self._open: set[Connection] = set()
        self._look_at = 0.0
        self._keepalive_seconds = float(self.cfg.keepalive)  # gunicorn looks for it anew each time
        self._purchases: SimpleQueue[_Job | None] = SimpleQueue()
        self._lane: Lane[_Job] = Lane(turns.AT_ONCE, self._purchases.put)
        for number in range(turns.AT_ONCE):
            Thread(target=self._buy, name=f"purchase_{number}", daemon=True).start()
        super().init_process()

    # Connections come

    def accept(self, listener: socket) -> None:
        """One more connection, and whatever of a request has come with it."""
        try:
            accepted, client = listener.accept()
        except OSError:
            return  # another process was quicker, or the client has gone
        if len(self._open) >= MOST_CONNECTIONS:
            self._make_room()
        accepted.setblocking(False)
        most_body_bytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        connection = Connection(accepted, client, listener.getsockname(), most_body_bytes)
        self._open.add(connection)
        self.nr_conns = len(self._open)
        connection.enter(Stage.IDLE, time.monotonic(), REQUEST_SECONDS)
        self._wait(connection, EVENT_READ, self._readable)
        self._readable(connection)

    def _wait(self, connection: Connection, event: int, act: Callable[[Connection], None]) -> None:
        tell = self.poller.modify if connection.is_watched else self.poller.register
        tell(connection.socket, event, partial(self._happened, connection, act))
        connection.is_watched = True

    def _unwatch(self, connection: Connection) -> None:
        connection.is_watched = False
        with suppress(KeyError, ValueError):
            self.poller.unregister(connection.socket)

    def _happened(self, connection: Connection, act: Callable[[Connection], None], _: Any) -> None:
        if connection not in self._open:  # it was, when the system told of it; another's event may have closed it since
            return
        if connection.stage is Stage.WORKING:  # it is watched still, since few say anything before they have an answer
            self._unwatch(connection)
            self._watch_idle(connection)  # a thread that ended just now may have seen it watched
        else:
            act(connection)

    def _watch_idle(self, connection: Connection) -> None:
        """Who has his answer is heard again. Repeat: safe."""
        if connection in self._open and connection.stage is Stage.IDLE and not connection.is_watched:
            self._wait(connection, EVENT_READ, self._readable)

    def _make_room(self) -> None:
        """Of the address that has most connections, the one that has waited longest is closed."""
        held = Counter(each.address for each in self._open)
        waiting = [each for each in self._open if each.stage is not Stage.WORKING]
        if waiting:
            self._end(max(waiting, key=lambda each: (held[each.address], -each.since)))

    # A request comes

    def _readable(self, connection: Connection) -> None:
        try:
            connection.read()
        except OSError:
            self._end(connection)
            return
        self._look(connection)

    def _look(self, connection: Connection) -> None:
        """A whole request goes to a thread."""
        frame = connection.next_request()
        if frame is not None:
            self._dispatch(connection, frame)
        elif connection.is_last:
            self._end(connection)
        elif connection.has_begun:
            connection.tell_to_go_on()
            if connection.stage is Stage.IDLE:
                connection.enter(Stage.READING, time.monotonic(), REQUEST_SECONDS)

    def _dispatch(self, connection: Connection, frame: Frame) -> None:
        connection.enter(Stage.WORKING, time.monotonic(), 0)
        request = connection.take(frame)
        if waits_for_node(connection.head):
            self._lane.add((connection, request))
        else:
            self._begin(connection, request)

    def _begin(self, connection: Connection, request: bytes) -> None:
        self.tpool.submit(self._work, connection, request)

    # A thread answers

    def _buy(self) -> None:
        """A thread for purchases: one after the other, until it is given none."""
        while job := self._purchases.get():
            try:
                self._work(*job)
            except Exception:  # the next one is nobody's fault
                self.log.exception("A purchase's answer could not be sent")
            finally:
                self._lane.ended()

    def _work(self, connection: Connection, request: bytes) -> None:
        goes_on = False
        try:
            goes_on = self._answer(connection, request)
        finally:
            self._worked(connection, goes_on)

    def _worked(self, connection: Connection, goes_on: bool) -> None:
        """The client may ask again; what else there is to do the loop does, and is waked for."""
        if not goes_on or connection.is_last or connection.has_begun or not connection.is_sent:
            self.method_queue.defer(self._answered, connection, goes_on)
            return
        connection.begin_anew()
        connection.enter(Stage.IDLE, time.monotonic(), self._keepalive_seconds)
        if not connection.is_watched:  # looked at last: the loop, which looks at the stage last, misses nobody so
            self.method_queue.defer(self._watch_idle, connection)

    def _answer(self, connection: Connection, request: bytes) -> bool:
        """The answer is written, and sent as far as it goes at once. Returns whether another request may follow."""
        try:
            goes_on = self._written(connection, request)
        except TOO_LONG as error:
            self.log.warning("Invalid request from ip=%s: %s", connection.address, error)
            if not connection.sock.kept:  # else what follows its body was too long, and it has its answer
                connection.sock.sendall(refusal(request, error))
            goes_on = False
        except Exception as error:  # noqa: BLE001  gunicorn's own words for whatever it may be
            self.handle_error(None, connection.sock, connection.client, error)
            goes_on = False
        with suppress(OSError):  # seen again, and dealt with, by the loop
            connection.send()
        return goes_on

    def _written(self, connection: Connection, request: bytes) -> bool:
        parser = RequestParser(self.cfg, iter([request]), connection.client)
        try:
            parsed = next(parser)
            parsed._expected_100_continue = False  # it was told already
            goes_on = self.handle_request(parsed, connection)
            return bool(goes_on and parser.finish_body() and not parser.unreader.take_buffered())
        except NoMoreData:
            if not connection.head and not connection.sock.kept and request:
                raise LimitRequestHeaders("the head is too large, or not whole") from None
            return False
        except (OSError, StopIteration):
            return False

    # The answer goes

    def _answered(self, connection: Connection, goes_on: bool) -> None:
        connection.is_last = connection.is_last or not goes_on
        connection.enter(Stage.SENDING, time.monotonic(), ANSWER_SECONDS)
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        try:
            if connection.send():
                self._sent(connection)
            else:
                self._wait(connection, EVENT_WRITE, self._writable)
        except OSError:
            self._end(connection)

    def _writable(self, connection: Connection) -> None:
        self._send(connection)

    def _sent(self, connection: Connection) -> None:
        now = time.monotonic()
        if connection.is_last:
            connection.enter(Stage.LINGERING, now, LINGER_SECONDS)
            with suppress(OSError):
                connection.socket.shutdown(SHUT_WR)
            self._wait(connection, EVENT_READ, self._lingers)
            return
        connection.begin_anew()
        connection.enter(Stage.IDLE, now, self._keepalive_seconds)
        self._wait(connection, EVENT_READ, self._readable)
        if connection.has_begun:
            self._look(connection)

    def _lingers(self, connection: Connection) -> None:
        if not connection.throw_away():
            self._end(connection)

    # Connections go

    def _end(self, connection: Connection) -> None:
        self._unwatch(connection)
        connection.close()
        self._open.discard(connection)
        self.nr_conns = len(self._open)

    def murder_pending(self) -> None:
        """Who did not move on in time is closed; purchases that found no thread are told so."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        for connection, request in self._lane.overdue():
            self._begin(connection, request)
        for connection in [each for each in self._open if each.stage is not Stage.WORKING and each.deadline <= now]:
            if connection.stage is Stage.READING:
                with suppress(OSError):
                    connection.socket.send(TOO_SLOW)
            self._end(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        """When we end, who has not asked by then is not waited for."""
        for connection in self._open:
            if connection.stage in {Stage.IDLE, Stage.READING, Stage.LINGERING}:
                connection.deadline = min(connection.deadline, deadline)

    def murder_keepalived(self, force: bool = False) -> None:
        """When the loop is over, all are closed."""
        if force:
            for _ in range(turns.AT_ONCE):
                self._purchases.put(None)
            for connection in list(self._open):
                self._end(connection)
