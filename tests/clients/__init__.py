"""Wallets that are not ours, as programs that tests tell what to do."""
