"""The pages of `docs/` that are written from the code."""

from __future__ import annotations

from collections.abc import Callable

from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from lsp_site.declared import GROUPS
from lsp_site.variable import Variable
from lsp_site.views import described_api, written_schema
from orders.causes import Cause
from orders.states import CLOSING_MOVES, INVOICE_MOVES, MOVES, OPENING_MOVES, TRANSACTION_MOVES


def configuration() -> str:
    """`docs/configuration.md`: every variable, as declared."""
    lines = [
        "# Configuration",
        "",
        "<!-- Written by `python manage.py generate` from lsp_site/declared.py. -->",
        "",
        "By environment variables, or by a file `.env` beside `manage.py`; what is set in the environment wins, and",
        "an empty value counts as absent. `LSP_ENV_FILE` names another file, or none when it is empty. Everything is",
        "checked at the start, and every fault is named at once. Durations are in seconds.",
        "",
        "The file has a `NAME=value` on each line, without spaces around the `=`. `export ` may stand before it, and",
        "quotes around the value. A comment has a line of its own and begins with `#`. Any other line stops the",
        "start, and so does a name that is no setting or is set twice: what is dropped without a word could be a key,",
        "and another would be made in its place. A fault names the line by its number and shows nothing of what",
        "stands in it. Names that libpq (`PGSSLMODE`), gRPC, containers and proxies read may stand in the file too.",
        "In the environment, which belongs to many programs, only a name that is one slip away from a setting is",
        "refused.",
        "",
        "Where nothing is said of a node, `make run` stands on a simulated one; else `LND_GRPC`, `LND_MACAROON` and",
        "`LND_NETWORK` must all be set.",
        "",
        "`HOLD_CLTV_BLOCKS` must cover `PUBLISH_MARGIN_BLOCKS`, `SPARE_BLOCKS` and one and a half times the blocks (of",
        "ten minutes) of `CLAIM_WINDOW_SECONDS`, `OPEN_WINDOW_SECONDS` and `GIVE_UP_GRACE_SECONDS`.",
        "`FUNDING_LEASE_SECONDS` must be above `FRESH_ATTEMPT_SECONDS`, and `RETRY_MAX_SECONDS` not above",
        "`OPEN_WINDOW_SECONDS`.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group.title}", "", "| name | default | meaning |", "|---|---|---|"]
        lines += [_row(variable) for variable in group.variables]
    return "\n".join(lines) + "\n"


def _row(variable: Variable) -> str:
    default = f"`{variable.default}`" if variable.default is not None else variable.otherwise
    return f"| `{variable.name}` | {default} | {variable.meaning} |"


def states() -> str:
    """`docs/states.md`: the diagrams, drawn from the tables of moves, and what the journal says."""
    parts = [
        "# States",
        "",
        "<!-- Written by `python manage.py generate` from orders/states.py and orders/causes.py. -->",
        "",
        "An order, with the number that the API publishes:",
        "",
        *_diagram(MOVES, lambda state: f"{state.name} {state.number}"),
        "",
        "Its Lightning payment:",
        "",
        *_diagram(INVOICE_MOVES, lambda state: str(state.name)),
        "",
        "One attempt to open its channel:",
        "",
        *_diagram(OPENING_MOVES, lambda state: str(state.name)),
        "",
        "A close of its channel that we want:",
        "",
        *_diagram(CLOSING_MOVES, lambda state: str(state.name)),
        "",
        "A transaction of our own, which may carry the openings of several orders:",
        "",
        *_diagram(TRANSACTION_MOVES, lambda state: str(state.name)),
        "",
        "## What the journal says",
        "",
        "| cause | means |",
        "|---|---|",
        *(f"| `{cause.value}` | {cause.label} |" for cause in Cause),
    ]
    return "\n".join(parts) + "\n"


def _diagram(moves: dict, label: Callable) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{label(state)}" as {state.name}' for state in moves]
    lines.append(f"    [*] --> {next(iter(moves)).name}")
    for state, targets in moves.items():
        order = list(moves)
        lines += [f"    {state.name} --> {target.name}" for target in sorted(targets, key=order.index)]
        if not targets:
            lines.append(f"    {state.name} --> [*]")
    return [*lines, "```"]


def openapi() -> str:
    """`docs/openapi.yaml`. Raises: ValueError when the description has warnings or is not valid OpenAPI."""
    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        described = described_api()
    validate_schema(described)
    warnings = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    if warnings:
        raise ValueError("\n".join(["The API's description has warnings:", *warnings]))
    return written_schema().decode()


PAGES: dict[str, Callable[[], str]] = {
    "docs/configuration.md": configuration,
    "docs/states.md": states,
    "docs/openapi.yaml": openapi,
}
