"""The simulated node's state as plain JSON: it outlives the names of the modules that keep it.

The simulator's own file is a pickle, which is bound to where its classes live and to each of their fields. Here a thing
is written by its class's name and its fields' names, so a class may move, and a field that is new has its default.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from typing import Any

from simulator.world import Kept

#: The fields that hold a moment, in Unix seconds: they are moved with the database's. 0 means never.
_MOMENTS = {
    ("Block", "at"), ("Htlc", "accepted_at"), ("Invoice", "created_at"), ("Lease", "expires_at"),
    ("Customer", "returns_at"),
}  # fmt: skip
#: And the fields whose values do, by key.
_MOMENTS_BY_KEY = {("Wallet", "known")}


def written(thing: Any) -> Any:
    """The thing and all in it, as JSON has it."""
    if dataclasses.is_dataclass(thing):
        fields = {field.name: written(getattr(thing, field.name)) for field in dataclasses.fields(thing)}
        return {type(thing).__name__: fields}
    if isinstance(thing, dict):
        return {"dict": [[written(key), written(value)] for key, value in thing.items()]}
    if isinstance(thing, (tuple, frozenset)):
        return {type(thing).__name__: [written(each) for each in thing]}
    if isinstance(thing, list):
        return [written(each) for each in thing]
    if isinstance(thing, bytes):
        return {"bytes": thing.hex()}
    if thing is None or isinstance(thing, (str, int, float)):
        return thing
    raise TypeError(f"{type(thing)} is not written")


def kept(content: Any, *, later_seconds: int) -> Kept:
    """What `written` wrote, every moment in it so much later."""
    found = _read(content, _classes(), later_seconds)
    assert isinstance(found, Kept)
    return found


def _read(content: Any, classes: dict[str, type], later_seconds: int) -> Any:
    if isinstance(content, list):
        return [_read(each, classes, later_seconds) for each in content]
    if not isinstance(content, dict):
        return content
    ((name, inside),) = content.items()
    if name == "bytes":
        return bytes.fromhex(inside)
    if name == "dict":
        return {_read(k, classes, later_seconds): _read(v, classes, later_seconds) for k, v in inside}
    if name in {"tuple", "frozenset"}:
        items = [_read(each, classes, later_seconds) for each in inside]
        return tuple(items) if name == "tuple" else frozenset(items)
    fields = {field: _read(value, classes, later_seconds) for field, value in inside.items()}
    return classes[name](**{field: _later(name, field, value, later_seconds) for field, value in fields.items()})


def _later(name: str, field: str, value: Any, seconds: int) -> Any:
    if (name, field) in _MOMENTS_BY_KEY:
        return {key: moment + seconds for key, moment in value.items()}
    return value + seconds if (name, field) in _MOMENTS and value else value


def _classes() -> dict[str, type]:
    """Every dataclass of the simulator, by name."""
    package = importlib.import_module(Kept.__module__.rpartition(".")[0])
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    ]
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, type) and dataclasses.is_dataclass(found) and found.__module__ == module.__name__
    }
