"""Selling one channel: what was promised, what was paid, what was opened."""
