"""What is told of a thing that can be configured."""

from __future__ import annotations

from dataclasses import dataclass

from lsp_site import parsers as p


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how it is read and what it means."""

    name: str
    parse: p.Parser
    default: str | None  # as it would be written in the environment; None: absent, see `otherwise`
    meaning: str
    otherwise: str = ""  # what happens when it is absent and there is no fixed default


@dataclass(frozen=True, slots=True)
class Group:
    """Variables that belong together on the page."""

    title: str
    variables: tuple[Variable, ...]
