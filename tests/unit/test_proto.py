"""Our copy of LND's interface is LND's, and what is generated from it is fresh."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from lightning.credentials import required_methods
from lightning.proto import (
    chainrpc_pb2,
    generate,
    invoicesrpc_pb2,
    lnrpc_pb2,
    peersrpc_pb2,
    routerrpc_pb2,
    walletrpc_pb2,
)

OURS = [
    module.DESCRIPTOR
    for module in (lnrpc_pb2, invoicesrpc_pb2, walletrpc_pb2, chainrpc_pb2, peersrpc_pb2, routerrpc_pb2)
]
REGTEST = Path(__file__).parents[1] / "regtest"
THEIRS = [
    "lightning.proto",
    "invoicesrpc/invoices.proto",
    "walletrpc/walletkit.proto",
    "chainrpc/chainnotifier.proto",
    "chainrpc/chainkit.proto",
    "peersrpc/peers.proto",
    "routerrpc/router.proto",
]


@pytest.fixture(scope="module")
def lnd(tmp_path_factory) -> DescriptorPool:
    """LND's own files, as Go fetched them, compiled apart from ours."""
    if not shutil.which("go"):
        pytest.skip("LND's own .proto files not compared: Go is not installed")
    ask = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/lightningnetwork/lnd"]
    folder = subprocess.run(ask, cwd=REGTEST, check=True, capture_output=True, text=True).stdout.strip()
    from grpc_tools import protoc

    output = tmp_path_factory.mktemp("lnd") / "descriptors"
    arguments = ["protoc", f"-I{folder}/lnrpc", "--include_imports", f"--descriptor_set_out={output}", *THEIRS]
    assert protoc.main(arguments) == 0
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(output.read_bytes()).file:
        pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return pool


def messages(containers=None) -> list[Descriptor]:
    """All of ours, the nested ones too."""
    found = []
    for container in OURS if containers is None else containers:
        nested = container.message_types_by_name.values() if containers is None else container.nested_types
        found += [*nested, *messages(list(nested))]
    return found


def enums() -> list[EnumDescriptor]:
    return [enum for file in OURS for enum in file.enum_types_by_name.values()] + [
        enum for message in messages() for enum in message.enum_types
    ]


def methods() -> list[MethodDescriptor]:
    return [method for file in OURS for service in file.services_by_name.values() for method in service.methods]


def fields(message: Descriptor) -> dict[str, tuple[object, ...]]:
    """All that decides how each field stands on the wire, and what it may be set to."""
    proto = DescriptorProto()
    message.CopyToProto(proto)
    return {field.name: shape(field, proto) for field in proto.field}


def shape(field: FieldDescriptorProto, message: DescriptorProto) -> tuple[object, ...]:
    group = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return field.number, field.type, field.label, field.type_name, group, field.proto3_optional


@pytest.mark.parametrize("message", messages(), ids=lambda message: message.full_name)
def test_every_field_is_lnds(message, lnd):
    assert fields(message).items() <= fields(lnd.FindMessageTypeByName(message.full_name)).items()


@pytest.mark.parametrize("enum", enums(), ids=lambda enum: enum.full_name)
def test_every_value_of_an_enum_is_lnds(enum, lnd):
    theirs = {value.name: value.number for value in lnd.FindEnumTypeByName(enum.full_name).values}
    assert {value.name: value.number for value in enum.values}.items() <= theirs.items()


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_method_is_lnds(method, lnd):
    theirs = lnd.FindMethodByName(method.full_name)

    def signature(each):
        streams = each.client_streaming, each.server_streaming
        return each.input_type.full_name, each.output_type.full_name, *streams

    assert signature(method) == signature(theirs)


def test_the_comparison_sees_what_is_there():
    assert len(messages()) > 80
    assert {"lnrpc.PendingChannelsResponse.PendingChannel"} < {message.full_name for message in messages()}
    assert len(methods()) > 30


def test_the_generated_files_are_fresh():
    pytest.importorskip("grpc_tools")
    assert generate.differences() == []


def test_every_method_that_we_ask_permission_for_is_called():
    """A permission nobody uses is one to take away."""
    package = Path(generate.__file__).parents[1]
    sources = " ".join(path.read_text() for path in package.glob("*.py"))
    unused = [uri for uri in required_methods() if not re.search(rf"\.{uri.rpartition('/')[2]}\b", sources)]
    assert unused == []
