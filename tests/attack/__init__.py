"""Attackers as programs, against the whole server on a simulated node, with honest buyers among them: `make attack`."""
