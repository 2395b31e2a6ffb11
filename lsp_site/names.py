"""Names that are nearly those of settings. A misspelt setting is not set, and nobody is told: so it is refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from lsp_site.declared import VARIABLES

#: Read before the file is: what it says of them would change nothing.
BEFORE_THE_FILE = ("LSP_ENV_FILE", "DJANGO_SETTINGS_MODULE")
#: What other programs read and people keep in the same file: containers, libpq, gRPC, Python, the system.
_OTHERS = re.compile(
    r"DATABASE_PASSWORD|(COMPOSE|DOCKER|GRPC|DJANGO_SUPERUSER|LC|PYTHON|SSL_CERT)_?[A-Z0-9_]+|PG[A-Z]+|LANG|TZ|TMPDIR"
    r"|GUNICORN_CMD_ARGS|([A-Z]+_PROXY|[a-z]+_proxy)"
)
#: Shorter names have too many neighbours that mean something else.
_SHORTEST = 8


def is_known(name: str) -> bool:
    """A line of the file that sets this name has an effect."""
    return name in VARIABLES or _OTHERS.fullmatch(name) is not None


def nearest(name: str) -> str | None:
    """The setting that was probably meant."""
    found = difflib.get_close_matches(name.upper(), VARIABLES, n=1, cutoff=0.7)
    return found[0] if found else None


def misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that is one slip away from a setting which is not set itself.

    The environment has the names of many programs, so only what can hardly be anything else is refused.
    """
    unset = [name for name in VARIABLES if not environment.get(name) and len(name) >= _SHORTEST]
    for written in environment:
        if not environment[written].strip() or is_known(written):
            continue
        if meant := next((name for name in unset if is_one_slip(_bare(written), _bare(name))), None):
            yield f"{written} is set, and is no setting: {meant} is."


def _bare(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def is_one_slip(one: str, other: str) -> bool:
    """The same, or one letter is missing, too many or another, or two neighbours are exchanged."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((at for at, (letter, its) in pairs if letter != its), min(len(one), len(other)))
    one, other = one[same:], other[same:]
    if one[1:] == other or one == other[1:] or one[1:] == other[1:]:
        return True
    return one[:2] == other[1::-1] and one[2:] == other[2:]
