"""The site's own answers: the API's description, and whether the server is well."""

from __future__ import annotations

import functools
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from orders import figures
from watch import doctor


def described_api() -> dict[str, Any]:
    """The OpenAPI description of the doors, each at one of its roots."""
    described: dict[str, Any] = SchemaGenerator(urlconf="lsp_site.described").get_schema(request=None, public=True)
    return described


@functools.cache
def written_schema() -> bytes:
    """The same as YAML, made once in each process."""
    written: bytes = OpenApiYamlRenderer().render(described_api(), renderer_context={})
    return written


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI description."""
    return HttpResponse(written_schema(), content_type="application/yaml; charset=utf-8")


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 while the database answers and no process that has reported is silent; else 503.

    A process that has never reported is not listed: the server has just started.
    """
    try:
        reported = figures.heartbeats(timezone.now())
    except DatabaseError:
        connection.close()
        return JsonResponse({"ok": False, "database": False, "heartbeats": {}}, status=503)
    beats = {beat.name: {"age_seconds": beat.age_seconds, "stale": beat.is_stale} for beat in reported}
    well = not any(beat["stale"] for beat in beats.values())
    return JsonResponse({"ok": well, "database": True, "heartbeats": beats}, status=200 if well else 503)


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Names and states of the checks that ask no node, for machines: 503 where one fails. What was seen stays here."""
    findings = doctor.quick()
    well = not any(finding.is_failure for finding in findings)
    checks = {finding.name: finding.health for finding in findings}
    return JsonResponse({"ok": well, "checks": checks}, status=200 if well else 503)
