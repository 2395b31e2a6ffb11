"""What staff prove besides their password. Nobody reads these rows in the admin."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models


class SecondFactor(models.Model):
    """A person's, or that it was reset. Without a row there never was one."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="second_factor")
    stamp = models.CharField(max_length=32, help_text="New with each change: sessions show that they know of it.")
    sealed_secret = models.CharField(max_length=200, blank=True, help_text="Enciphered; empty: none is enrolled.")
    enrolled_at = models.DateTimeField(null=True, blank=True)
    last_step = models.BigIntegerField(default=0, help_text="The time step of the last code: none counts twice.")

    def __str__(self) -> str:
        return f"second factor of {self.user_id}"


class RecoveryCode(models.Model):
    """One that stands for a code, once. Who reads the row does not know it."""

    factor = models.ForeignKey(SecondFactor, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["factor", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code {self.pk}"
