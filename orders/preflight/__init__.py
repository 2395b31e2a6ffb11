"""Before the buyer pays: whether the channel would open, as far as that can be known. docs/design/preflight.md."""
