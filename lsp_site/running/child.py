"""Becomes the given command, which gets a signal when its parent dies, however the parent dies.

Run as a script, so that it starts quickly and works before a fork could be made in a process with threads:
`python child.py [--signal TERM] [--user NAME] PARENT_PID COMMAND…`. The parent's thread that starts it must live as
long as the parent: Linux watches the thread.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """This process is the command. Raises: OSError when it cannot be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--signal", default="TERM")
    parser.add_argument("--user")
    parser.add_argument("parent", type=int)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.user:
        account = pwd.getpwnam(arguments.user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)  # before the next step: a change of user clears the death signal
        os.chdir("/")
    if sys.platform == "linux":
        wanted = signal.Signals[f"SIG{arguments.signal}"]
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(wanted), 0, 0, 0)
    if os.getppid() != arguments.parent:
        sys.exit(1)  # the parent was gone before we could ask to be told
    os.execvp(arguments.command[0], arguments.command)


if __name__ == "__main__":
    main()
