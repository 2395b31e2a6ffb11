"""`manage.py reconcile`: one pass by hand, as the worker makes one every minute."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from orders import reconcile


class Command(BaseCommand):
    """Says what the pass did. Safe at any time, also beside the worker."""

    help = "Looks at the node once, and queues every order that is due."

    def handle(self, *args: Any, **options: Any) -> None:
        done = reconcile.reconcile()
        self.stdout.write(f"{'node':<8}{'reached' if done.node_reached else 'not reached'}")
        self.stdout.write(f"{'nudged':<8}{done.nudged:,} (orders that differ from what the node says)")
        self.stdout.write(f"{'queued':<8}{done.queued:,} (orders that are due; the worker looks at them)")
        if not done.node_reached:
            raise CommandError("The node cannot be read; the log says why.")
