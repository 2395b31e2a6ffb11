"""The site's settings as tests see them: nothing of the developer's environment, and a home of its own.

Named in pyproject.toml. Other processes that a test starts get `LSP_HOME` and `DATABASE_URL` in their environment.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from lsp_site.declared import VARIABLES

for _name in VARIABLES:
    os.environ.pop(_name, None)
_home = tempfile.mkdtemp(prefix="lsp-tests-")
_owner = os.getpid()


@atexit.register
def _remove_home() -> None:
    if os.getpid() == _owner:  # not in a fork of ours
        shutil.rmtree(_home, ignore_errors=True)


os.environ |= {"LSP_ENV_FILE": "", "LSP_HOME": _home, "LND_NETWORK": "regtest"}

from lsp_site.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
#: The node of many tests remembers the channels of earlier ones, whose orders are gone.
PAUSE_IF_BEHIND = False
#: A test's browser is a new one, which would read all static files again: each is looked for when it is asked for.
WHITENOISE_AUTOREFRESH = True
