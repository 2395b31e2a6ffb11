"""A node that is none: LND's protocol with a small chain behind it, for development and fast tests.

Nothing outside this package knows of it; its commands `run_simulator` and `buy` do.
Whoever talks to it believes it is LND.
Everything here runs in one event loop, so nothing needs a lock.
"""
