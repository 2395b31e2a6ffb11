"""A node that is none: LND's protocol with a small chain behind it, for development and fast tests.

Nothing outside this package and `manage.py run_simulator` knows of it: whoever talks to it believes it is LND.
Everything here runs in one event loop, so nothing needs a lock.
"""
