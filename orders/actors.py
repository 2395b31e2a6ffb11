"""Who acts on an order is a value: how it was proven, and a name where there is one. The journal has it in `actor`.

Every operation on an order demands one, and is open to the kinds that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar
from uuid import UUID

from orders import keys
from orders.errors import NotAllowed, WrongToken

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: As long as the journal's column.
_LONGEST: Final = 200


class Kind(Enum):
    """How somebody has shown who they are. The value is the word that the journal has."""

    BUYER = "buyer"  # knows the order's id, and nothing more
    TOKEN = "buyer:token"  # noqa: S105  has shown the order's token, which the quote alone tells
    NODE = "node"  # speaks by its own key
    STAFF = "staff"  # has logged in
    COMMAND = "command"  # a user of this machine
    SERVER = "lsp"  # nobody asked


@dataclass(frozen=True, slots=True)
class Authority:
    """Somebody who acts."""

    kind: Kind
    name: str = ""  # a node's key, or the name of a person
    role: str = ""  # of staff: the groups that they are in

    def __str__(self) -> str:
        named = f"{self.kind.value}:{self.name}" if self.name else self.kind.value
        return (f"{named} ({self.role})" if self.role else named)[:_LONGEST]


LSP: Final = Authority(Kind.SERVER)
BUYER: Final = Authority(Kind.BUYER)


def buyer(order_id: UUID, token: str | None = None) -> Authority:
    """Who names the order by its id, and proves with its token, if they show one, that they bought it.

    Raises: WrongToken.
    """
    if not token:
        return BUYER
    if not keys.is_order_token(token, order_id):
        raise WrongToken
    return Authority(Kind.TOKEN)


def node(pubkey: str) -> Authority:
    """A node that has proven its key."""
    return Authority(Kind.NODE, pubkey)


def staff(name: str, *, role: str = "") -> Authority:
    """A person who has logged in."""
    return Authority(Kind.STAFF, name, role)


def person(user: Any) -> Authority:
    """As `staff`, of an account that has logged in: with the groups that give it its rights."""
    roles = user.groups.order_by("name").values_list("name", flat=True)
    return staff(user.get_username(), role=", ".join(roles))


def command(user: str) -> Authority:
    """A user of the operating system, who runs a command."""
    return Authority(Kind.COMMAND, user)


def open_to(*kinds: Kind) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """The operation is done for these kinds of `actor` and refused to all others. Raises: NotAllowed."""

    def opened(operation: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(operation)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            actor = kwargs.get("actor")
            if not isinstance(actor, Authority):
                raise TypeError(f"{operation.__name__} must be told who acts")
            if actor.kind not in kinds:
                raise NotAllowed(f"A {actor.kind.name.lower()} may not do this to an order.")
            return operation(*args, **kwargs)

        guarded.__dict__["open_to"] = frozenset(kinds)
        return guarded

    return opened
