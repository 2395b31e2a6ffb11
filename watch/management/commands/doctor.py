"""`manage.py doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightning import connection
from watch import alerting, doctor
from watch.doctor import Finding, Health

_SIGNS: Final = {Health.OK: "ok", Health.WARNING: "warning", Health.FAILURE: "FAILURE"}


class Command(BaseCommand):
    """Exits with 1 when something fails that loses money or sales."""

    help = "Checks database, processes, node and settings, and says how to mend what is wrong. Changes nothing."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines: a list of findings")
        parser.add_argument("--test-alert", action="store_true", help="only send a test message to ALERT_URL")

    def handle(self, *args: Any, json: bool, test_alert: bool, **options: Any) -> None:
        if test_alert:
            self._test_alert()
            return
        findings = doctor.thorough(connection.node() if settings.LND_GRPC else None)
        if json:
            self.stdout.write(as_json(findings))
        else:
            self._tell(findings)
        if any(finding.is_failure for finding in findings):
            sys.exit(1)

    def _test_alert(self) -> None:
        if not settings.ALERT_URL:
            raise CommandError("ALERT_URL is not set.")
        if not alerting.send(["This is a test: alerts reach you."]):
            raise CommandError("Nobody was reached; the log says which URL failed.")
        self.stdout.write("sent")

    def _tell(self, findings: list[Finding]) -> None:
        styles: dict[Health, Callable[[str], str]] = {
            Health.OK: str,
            Health.WARNING: self.style.WARNING,
            Health.FAILURE: self.style.ERROR,
        }
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            sign = styles[finding.health](f"{_SIGNS[finding.health]:<8}")
            self.stdout.write(f"{sign} {finding.name:<{width}}  {finding.seen}")
            for line in finding.mend.splitlines():
                self.stdout.write(f"{'':<8} {'':<{width}}    {line}")
        counts = (f"{health}: {sum(finding.health is health for finding in findings)}" for health in Health)
        self.stdout.write(", ".join(counts))


def as_json(findings: list[Finding]) -> str:
    """The findings as a list of objects."""
    return json.dumps([asdict(finding) for finding in findings], indent=2)
