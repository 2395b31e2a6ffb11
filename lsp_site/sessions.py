"""Whether a session is a person's: its password was right, its second factor too, and it is neither idle nor old.

Until all of that is so the request is nobody's, whatever it asks for: there is one place that says who asks.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware, get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from lsp_site import factors

Person = User | AnonymousUser

#: Where a request keeps it.
_ASKING: Final = "_who_asks"
_PROVEN: Final = "second_factor"
#: What the factor was when the password was given, until it is shown.
_PENDING: Final = "password_given"
_BEGUN: Final = "begun_at"
_SEEN: Final = "seen_at"
#: So long after the password the code may come.
PENDING_SECONDS: Final = 600
#: A session is not written at each request.
_NOTED_EACH_SECONDS: Final = 60


class StaffAuthentication(AuthenticationMiddleware):
    """Django's, with our answer to who asks."""

    def process_request(self, request: HttpRequest) -> None:
        """`request.user` is who has proven all that is asked of staff."""
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: _asking(request))  # type: ignore[assignment]
        request.auser = partial(sync_to_async(_asking), request)  # type: ignore[method-assign]


def _asking(request: HttpRequest) -> Person:
    known: Person | None = request.__dict__.get(_ASKING)
    if known is None:
        known = request.__dict__[_ASKING] = _admitted(request)
    return known


def _admitted(request: HttpRequest) -> Person:
    user: Person = get_user(request)  # type: ignore[assignment]
    if isinstance(user, AnonymousUser):
        return user
    if is_over(request.session):
        request.session.flush()
        return AnonymousUser()
    if not _is_proven(request.session, user):
        return AnonymousUser()
    _note_use(request.session)
    return user


def is_over(session: SessionBase) -> bool:
    """It is too old, or nobody has used it for too long."""
    now = time.time()
    begun, seen = session.get(_BEGUN, now), session.get(_SEEN, now)
    return bool(now - begun > settings.STAFF_SESSION_SECONDS or now - seen > settings.STAFF_IDLE_SECONDS)


def _is_proven(session: SessionBase, user: User) -> bool:
    """The second factor is as it was when this session showed it. Where none is asked for, nothing has to be shown."""
    if settings.STAFF_MFA == "off":
        return True
    if factors.is_required() and not factors.is_enrolled(user):
        return False
    return bool(session.get(_PROVEN, "") == factors.stamp_of(user))


def _note_use(session: SessionBase) -> None:
    now = int(time.time())
    session.setdefault(_BEGUN, now)
    if now - session.get(_SEEN, 0) >= min(_NOTED_EACH_SECONDS, settings.STAFF_IDLE_SECONDS // 4):
        session[_SEEN] = now


def begin(request: HttpRequest, user: User) -> None:
    """The password was right just now; what an earlier login in this browser has proven counts no more."""
    request.session.pop(_PROVEN, None)
    request.session[_PENDING] = factors.stamp_of(user)
    request.session[_BEGUN] = request.session[_SEEN] = int(time.time())


def prove(request: HttpRequest, user: User) -> None:
    """The factor, as it is now, was shown by this session, or is not asked for; it has another key from now on."""
    request.session.cycle_key()
    request.session.pop(_PENDING, None)
    request.session[_PROVEN] = factors.stamp_of(User.objects.select_related("second_factor").get(pk=user.pk))


def has_to_prove(user: User) -> bool:
    """After the password there is more to show, or to enrol."""
    return settings.STAFF_MFA != "off" and (factors.is_enrolled(user) or factors.is_required())


def pending(request: HttpRequest) -> User | None:
    """Who has given the right password not long ago and has still to show the second factor, or to enrol one.

    A session that was in once is not pending when its proof is worth nothing any more: it begins with the password.
    """
    user: Any = get_user(request)
    if not user.is_authenticated or request.user.is_authenticated or is_over(request.session):
        return None
    is_fresh = time.time() - request.session.get(_BEGUN, 0) <= PENDING_SECONDS
    is_pending = is_fresh and request.session.get(_PENDING) == factors.stamp_of(user)
    return user if is_pending and user.is_active and user.is_staff else None
