"""Has everything loaded, and forks a process of ours for each line it reads: a server starts in a moment.

It ends, and all that it started, when its input ends: so nothing outlives the tests.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import django

_PR_SET_PDEATHSIG = 1


def main() -> None:
    django.setup()
    import lsp_site.urls  # noqa: F401  # all that requests and tasks would load, before they are forked
    from tests.chaos import mortal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's concern
    groups = []
    print("ready", flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        death = told.pop("death")
        job = mortal.Job(**told, death=mortal.Death(**death) if death else None)
        pid = os.fork()
        if not pid:
            _become(job)
        _lead_group(pid)
        groups.append(pid)
        print(pid, flush=True)
    for group in groups:
        mortal._kill_group(group)


def _lead_group(pid: int) -> None:
    """By parent and child both: whoever is asked to kill the group next must find it."""
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)


def _become(job: object) -> None:
    from tests.chaos import mortal

    assert isinstance(job, mortal.Job)
    _lead_group(0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    Path(job.folder, job.role).write_text(str(os.getpid()))
    log = os.open(Path(job.folder) / f"{job.role}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(log, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        mortal.run(job)
    except BaseException:
        logging.exception("the role ended by itself")
    os._exit(1)


if __name__ == "__main__":
    main()
