"""How often somebody asked, so that all processes count together."""

from __future__ import annotations

from django.db import models


class RequestCount(models.Model):
    """The requests of one kind that one client made in its current window."""

    key_hash = models.CharField(max_length=64, primary_key=True, help_text="Kind and client, hashed.")
    count = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key_hash[:12]
