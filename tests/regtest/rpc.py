"""lnd's whole RPC interface, called by name, without generated code.

The messages come from a descriptor set that is built from lnd's own files, and live in a pool of their own: the project
has generated code for a part of the same interface, and one pool cannot hold both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

#: A message of the private pool: its fields are those of lnd's .proto files.
Message = Any

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    # A node that was just started is tried again at once, not after the usual seconds. The "minimum" is how long a
    # connection may take.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class Method(NamedTuple):
    path: str
    request: Callable[..., Message]
    answer: Any
    sends_stream: bool
    gets_stream: bool


@cache
def _pool(descriptors: Path) -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


class Rpc:
    """A connection to one lnd."""

    def __init__(self, target: str, certificate: bytes, macaroon: bytes, descriptors: Path) -> None:
        self._pool = _pool(descriptors)
        self._metadata = (("macaroon", macaroon.hex()),)
        self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(certificate), options=_OPTIONS)

    def method(self, name: str) -> Method:
        """The method called `package.Service/Method`. Raises: KeyError when lnd has none of that name."""
        service, _, called = name.partition("/")
        found = self._pool.FindServiceByName(service).methods_by_name[called]
        answer = GetMessageClass(found.output_type)
        request = GetMessageClass(found.input_type)
        return Method(f"/{name}", request, answer, found.client_streaming, found.server_streaming)

    def message(self, name: str, **fields: Any) -> Message:
        """A new message of the type called `package.Message`."""
        found = self._pool.FindMessageTypeByName(name)
        return GetMessageClass(found)(**fields)

    def call(self, name: str, *, timeout: float, **fields: Any) -> Message:
        """The answer to one call. Raises: grpc.RpcError."""
        method = self.method(name)
        remote = self._channel.unary_unary(method.path, _serialised, method.answer.FromString)
        return remote(method.request(**fields), metadata=self._metadata, timeout=timeout)

    def stream(self, name: str, *, timeout: float | None = None, **fields: Any) -> Any:
        """The answers to one call, as a grpc call: iterate over it, or `cancel()` it."""
        method = self.method(name)
        remote = self._channel.unary_stream(method.path, _serialised, method.answer.FromString)
        return remote(method.request(**fields), metadata=self._metadata, timeout=timeout)

    def converse(self, name: str, requests: Iterable[dict[str, Any]]) -> Any:
        """A call in which both sides stream: `requests` are the fields of what we say."""
        method = self.method(name)
        remote = self._channel.stream_stream(method.path, _serialised, method.answer.FromString)
        said: Iterator[Message] = (method.request(**fields) for fields in requests)
        return remote(said, metadata=self._metadata)

    def close(self) -> None:
        self._channel.close()


def _serialised(message: Message) -> bytes:
    return bytes(message.SerializeToString())
