"""Everything that knows how to talk to our Lightning node."""
