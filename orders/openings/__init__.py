"""Attempts to open an order's channel: from the first word to the peer until the funding is deep, or undone."""
