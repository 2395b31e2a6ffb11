"""The gRPC server: TLS, macaroons, faults, and every method found by its name."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from lightning.proto import (
    chainrpc_pb2,
    invoicesrpc_pb2,
    lnrpc_pb2,
    peersrpc_pb2,
    routerrpc_pb2,
    stateservice_pb2,
    walletrpc_pb2,
)
from simulator import (
    announcing_service,
    control_pb2,
    control_service,
    invoices_service,
    lightning_service,
    messages,
    router_service,
    state_service,
    wallet_service,
)
from simulator.certificate import certificate
from simulator.faults import Faults
from simulator.macaroons import changes
from simulator.refused import Refused
from simulator.world import Beginning, World

_SERVICES: tuple[tuple[FileDescriptor, ModuleType], ...] = (
    (lnrpc_pb2.DESCRIPTOR, lightning_service),
    (invoicesrpc_pb2.DESCRIPTOR, invoices_service),
    (walletrpc_pb2.DESCRIPTOR, wallet_service),
    (chainrpc_pb2.DESCRIPTOR, invoices_service),
    (peersrpc_pb2.DESCRIPTOR, announcing_service),
    (routerrpc_pb2.DESCRIPTOR, router_service),
    (stateservice_pb2.DESCRIPTOR, state_service),
    (control_pb2.DESCRIPTOR, control_service),
)
_TICK_SECONDS = 0.2
#: LND takes a ping each five seconds; gRPC's own limit, one in five minutes, ends the connection of who only listens.
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 200 * 1024 * 1024),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

Method = Callable[..., Any]


class Server:
    """Serves one world until it is stopped. Build and use it inside one running event loop."""

    def __init__(self, home: Path, listen: str, beginning: Beginning) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.world = World(home, beginning)
        self.world.announce = self._say
        self.world.macaroons.write(home)
        self.world.save()
        self._faults = Faults()
        self._server = grpc.aio.server(options=_OPTIONS)
        key, cert = certificate(home)
        for file, module in _SERVICES:
            self._add(file, module)
        self._server.add_secure_port(listen, grpc.ssl_server_credentials([(key, cert)]))

    async def run(self, stop: asyncio.Event, *, block_seconds: float = 0, ready: Callable[[], None]) -> None:
        """It serves until `stop`; a block comes by itself every so often."""
        await self._server.start()
        tasks = [asyncio.create_task(self._watch_the_clock())]
        if block_seconds:
            tasks.append(asyncio.create_task(self._keep_mining(block_seconds)))
        ready()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await self._server.stop(None)
        self.world.save(at_once=True)
        for task in tasks:
            if task.done():
                task.result()  # it never ends well
            task.cancel()

    async def _watch_the_clock(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self.world.time_passed() or self.world.is_unsaved:
                self.world.save()

    async def _keep_mining(self, block_seconds: float) -> None:
        while True:
            await asyncio.sleep(block_seconds)
            self.world.mine()
            self.world.tell()
            self.world.save()

    def _say(self, topic: str, fact: object) -> None:
        if self.world.events.is_heard(topic):
            self.world.events.say(topic, messages.event(self.world, topic, fact))

    # Calls

    def _add(self, file: FileDescriptor, module: ModuleType) -> None:
        special = control_service.fault_calls(self._faults) if module is control_service else {}
        for service in file.services_by_name.values():
            handlers = {
                method.name: self._handler(method, special.get(method.name) or getattr(module, _snake(method.name)))
                for method in service.methods
            }
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))

    def _handler(self, method: MethodDescriptor, function: Method) -> grpc.RpcMethodHandler:
        read = GetMessageClass(method.input_type).FromString
        write = GetMessageClass(method.output_type).SerializeToString
        path = f"/{method.containing_service.full_name}/{method.name}"
        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(self._conversing(path, function), read, write)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(self._streaming(path, function), read, write)
        return grpc.unary_unary_rpc_method_handler(self._unary(path, function), read, write)

    def _unary(self, path: str, function: Method) -> Method:
        async def answer(request: Message, context: grpc.aio.ServicerContext) -> Message:
            # What was asked happens, whether or not somebody still waits for the answer.
            doing = asyncio.create_task(self._do(path, function, request, context))
            doing.add_done_callback(_look_at_the_end)
            try:
                return await asyncio.shield(doing)
            except Refused as refused:
                await context.abort(refused.code, refused.text)
                raise AssertionError from refused  # abort never returns

        return answer

    async def _do(self, path: str, function: Method, request: Message, context: grpc.aio.ServicerContext) -> Message:
        self._admit(path, context)
        async with self._around(path):
            try:
                answer: Message = function(self.world, request)
                if inspect.isawaitable(answer):
                    answer = await answer
            finally:
                self._done(path)
        return answer

    def _done(self, path: str) -> None:
        """Whoever listens has heard of it, and it is on disk."""
        self.world.tell()
        if changes(path):
            self.world.save()

    def _streaming(self, path: str, function: Method) -> Method:
        async def answer(request: Message, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
            stream = function(self.world, request)
            try:
                self._admit(path, context)
                async with self._around(path):
                    first = await anext(stream, None)
                    self._done(path)
                if first is not None:
                    yield first
                async for message in stream:
                    yield message
            except Refused as refused:
                self._done(path)
                await context.abort(refused.code, refused.text)
            finally:
                await stream.aclose()

        return answer

    def _conversing(self, path: str, function: Method) -> Method:
        async def answer(requests: AsyncIterator[Message], context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
            stream = None
            try:
                self._admit(path, context)
                async with self._around(path):
                    stream = function(self.world, requests, lambda: self._done(path))
                async for message in stream:
                    yield message
            except Refused as refused:
                await context.abort(refused.code, refused.text)
            finally:
                if stream is not None:
                    await stream.aclose()

        return answer

    def _admit(self, path: str, context: grpc.aio.ServicerContext) -> None:
        if path.startswith("/lnrpc.State/"):
            return  # LND asks nobody who asks this for a macaroon
        metadata = context.invocation_metadata() or ()
        tokens = [str(value) for name, value in metadata if name == "macaroon"]
        self.world.macaroons.require(tokens, path)

    def _around(self, path: str) -> Any:
        """Faults are never in the way of whoever ends them."""
        if path.startswith("/simulator."):
            return contextlib.nullcontext()
        return self._faults.around(path.rpartition("/")[2])


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _look_at_the_end(task: asyncio.Task[Message]) -> None:
    """A refusal that nobody waits for any more is no news; a defect of ours is."""
    problem = None if task.cancelled() else task.exception()
    if problem is not None and not isinstance(problem, Refused):
        logging.getLogger(__name__).error("a defect of the simulator", exc_info=problem)
