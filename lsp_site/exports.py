"""What leaves the admin as a file is on the trail, whichever page it comes from."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase

from orders import actors, trail
from orders.models import AuditKind

View = Callable[..., HttpResponseBase]


def noted(view: View) -> View:
    """The view, whose files are on the trail. One that cannot be noted is not given."""

    @wraps(view)
    def watched(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        answer = view(request, *args, **kwargs)
        disposition = answer.headers.get("Content-Disposition", "")
        if disposition.startswith("attachment") or answer.headers.get("Content-Type", "").startswith("text/csv"):
            chosen = len(request.POST.getlist("_selected_action"))
            facts = {"page": request.path, "asked": request.GET.urlencode(), "rows chosen": chosen or "all"}
            trail.add(AuditKind.EXPORT, disposition or "a table", actor=actors.person(request.user), facts=facts)
        return answer

    return watched
