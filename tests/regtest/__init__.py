"""A Bitcoin and Lightning network of real programs (btcd, lnd) on this machine, for tests and for trying things out."""
