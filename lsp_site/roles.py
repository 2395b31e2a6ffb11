"""What the groups of staff may do. One table, given by migrations: the first gives all of it, later ones what is new.

Nobody gets a right by hand here: a shop that has changed its groups keeps them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final


class Role(StrEnum):
    """A group's name."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    MANAGER = "manager"


#: Sees all that is here, and moves nothing. Accounts and groups are not among it.
_SEES: Final = ("orders.view_*",)
#: Steers orders: retries, returns, cancels, notes, grants what is proposed to go back; pauses; closes what is over.
_STEERS: Final = (
    "orders.change_channelorder",
    "orders.change_switch",
    "orders.close_channel",
    "orders.add_alertmute",
    "orders.change_alertmute",
)
#: Says what is sold and to whom not, and may break a promise in their own name.
_RULES: Final = (
    "orders.add_service",
    "orders.change_service",
    "orders.delete_service",
    "orders.add_coupon",
    "orders.change_coupon",
    "orders.delete_coupon",
    "orders.add_tokenpattern",
    "orders.change_tokenpattern",
    "orders.delete_tokenpattern",
    "orders.add_ban",
    "orders.change_ban",
    "orders.force_close_channel",
    "orders.override_lease",
    "orders.extend_lease",
    "orders.change_alertrules",
    "auth.view_user",
    "auth.view_group",
)

RIGHTS: Final[dict[Role, tuple[str, ...]]] = {
    Role.VIEWER: _SEES,
    Role.OPERATOR: (*_SEES, *_STEERS),
    Role.MANAGER: (*_SEES, *_STEERS, *_RULES),
}


def give(apps: Any, *patterns: str, roles: Iterable[Role] = tuple(Role)) -> None:
    """The groups are there, and have of the table what these patterns name (none: all of it), where it is declared.

    For migrations, with their `apps`: it waits for nothing that comes after them. Repeat: safe; nothing is taken away.
    """
    groups = apps.get_model("auth", "Group")
    declared = {name: (model, words) for name, model, words in _declared(apps)}
    for role in roles:
        rights = RIGHTS[role]
        group, _ = groups.objects.get_or_create(name=role)
        wanted = (name for name in declared if _is_among(name, rights) and _is_among(name, patterns or ("*",)))
        group.permissions.add(*(_permission(apps, name, *declared[name]) for name in wanted))


def _is_among(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _declared(apps: Any) -> Iterator[tuple[str, Any, str]]:
    """Every right that a model of these apps declares, with its model and its words."""
    for model in apps.get_models():
        options = model._meta
        for action in options.default_permissions:
            name = f"{options.app_label}.{action}_{options.model_name}"
            yield name, model, f"Can {action} {options.verbose_name}"
        for codename, words in options.permissions:
            yield f"{options.app_label}.{codename}", model, words


def _permission(apps: Any, name: str, model: Any, words: str) -> Any:
    """The row, which Django itself makes after the last migration only."""
    label, codename = name.split(".")
    kinds, permissions = apps.get_model("contenttypes", "ContentType"), apps.get_model("auth", "Permission")
    kind, _ = kinds.objects.get_or_create(app_label=label, model=model._meta.model_name)
    return permissions.objects.get_or_create(content_type=kind, codename=codename, defaults={"name": words})[0]
