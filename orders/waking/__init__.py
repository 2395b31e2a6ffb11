"""Wallets that are away are told that they are wanted, at a webhook that they have registered (LSPS5, bLIP-55)."""
