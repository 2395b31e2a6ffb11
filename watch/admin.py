"""Alerts in the admin: what failed, which channels there are and whether they work, who is not to hear of what."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from orders import actors, trail
from orders.admin.changes import RecordedAdmin
from orders.admin.discretion import DiscreetAdmin
from orders.admin.moments import NamedMoment
from orders.admin.records import AlertAdmin
from orders.admin.shown import NOTHING, at, mark, text
from orders.causes import FlagKind
from orders.errors import NotPossible
from orders.models import Alert, AlertMute, AlertRules, AuditKind
from orders.models.alert import RULES
from watch import channels, hearing, muting

_TEST: Final = "This is a test: alerts reach you."
_STYLE: Final = {"all": ["orders/admin.css"]}


admin.site.unregister(Alert)


@admin.register(Alert)
class AlertChannelsAdmin(AlertAdmin):
    """What failed, and above the list which channels there are, whether they work, and what is muted."""

    change_list_template = "admin/orders/alert/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        """With one that sends a test."""
        test = path("test/", self.admin_site.admin_view(self.test_view), name="orders_alert_test")
        return [test, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the channels, and what is muted now."""
        more = {
            "channels": channels.channels(),
            "mutes": [_told_of(mute) for mute in muting.standing(timezone.now())],
            "quiet": hearing.is_quiet(AlertRules.objects.first(), timezone.now()),
            "may_test": _may_mute(request),
        }
        return super().changelist_view(request, {**more, **(extra_context or {})})

    def test_view(self, request: HttpRequest) -> HttpResponse:
        """A test was sent to one channel, and what became of it is said; nobody waits for long."""
        if not _may_mute(request) or request.method != "POST":
            raise PermissionDenied
        wanted = request.POST.get("channel", "")
        for channel in channels.channels():
            if channel.key == wanted:
                self._test(request, channel)
        return HttpResponseRedirect(reverse("admin:orders_alert_changelist"))

    def _test(self, request: HttpRequest, channel: channels.Channel) -> None:
        actor = actors.person(request.user)
        has_it = channels.tried(channel, *channels.message([_TEST]))
        if has_it:
            messages.success(request, f"Channel {channel.label} has taken the test. Look whether it came.")
        elif has_it is None:
            messages.warning(
                request, f"Channel {channel.label} has not answered in time. The log will say if it fails."
            )
        else:
            messages.error(request, f"Channel {channel.label} has not taken it. The log of the web process says more.")
        outcome = {True: "taken", False: "refused", None: "no answer in time"}[has_it]
        trail.add(AuditKind.ALERTS, f"tested channel {channel.label}: {outcome}", actor=actor)


def _may_mute(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("orders.add_alertmute"))


def _channel_named(key: str) -> str:
    if not key:
        return "all channels"
    labels = {channel.key: f"channel {channel.label}" for channel in channels.channels()}
    return labels.get(key, "a channel that is not set any more")


def _told_of(mute: AlertMute) -> dict[str, Any]:
    return {
        "what": hearing.named(mute.kind),
        "channel": _channel_named(mute.channel),
        "until": mute.until,
        "by": mute.made_by,
        "reason": mute.reason,
    }


def _kinds() -> list[tuple[str, str]]:
    """All; all checks, and each that has ever failed; all flags, and each kind."""
    failed = (
        Alert.objects.filter(key__startswith=hearing.CHECK).order_by("key").values_list("key", flat=True).distinct()
    )
    flags = [f"{hearing.FLAG}{kind}" for kind in FlagKind]
    return [(kind, hearing.named(kind)) for kind in ("", hearing.CHECK, *failed, hearing.FLAG, *flags)]


class MuteForm(forms.ModelForm):
    """What, where to, until when and why."""

    kind = forms.ChoiceField(required=False, label="What")
    channel = forms.ChoiceField(required=False, label="To")
    until = forms.SplitDateTimeField(
        widget=NamedMoment(),
        label="Until (UTC)",
        help_text=f"At most {hearing.LONGEST.days} days, and a day where what loses money is among it.",
    )

    class Meta:
        model = AlertMute
        fields = ["kind", "channel", "until", "reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = _kinds()  # type: ignore[attr-defined]
        named = [(channel.key, _channel_named(channel.key)) for channel in channels.channels()]
        self.fields["channel"].choices = [("", "all channels"), *named]  # type: ignore[attr-defined]
        self.fields["until"].initial = timezone.now() + timedelta(hours=8)

    def clean(self) -> dict[str, Any]:
        """What the operation would refuse is said beside the field."""
        given = super().clean() or self.cleaned_data
        if given.get("until") and (
            fault := muting.why_not_until(given.get("kind", ""), given["until"], timezone.now())
        ):
            self.add_error("until", fault)
        return given


@admin.register(AlertMute)
class MuteAdmin(DiscreetAdmin):
    """Who does not hear of what, until when: added, and lifted; a line is not edited."""

    form = MuteForm
    change_form_template = "admin/orders/record.html"
    list_display = ["what", "channel_shown", "why", "stands", "ends", "made_by", "made", "lifted", "lifted_by"]
    ordering = ["-id"]
    actions = ["lift"]
    ends = at("until", "until")
    made = at("made_at", "made")
    lifted = at("lifted_at", "lifted")
    why = text("reason", "reason")

    class Media:
        css = _STYLE

    def get_fields(self, request: HttpRequest, obj: AlertMute | None = None) -> list[Any]:
        """When it is made no more is asked than has to be said."""
        if obj is None:
            return ["kind", "channel", "until", "reason"]
        return ["what", "channel_shown", "why", "ends", "made_by", "made", "lifted", "lifted_by"]

    def get_readonly_fields(self, request: HttpRequest, obj: AlertMute | None = None) -> list[str]:
        """All of what is written."""
        return [] if obj is None else self.get_fields(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: AlertMute | None = None) -> bool:
        """Never: it is lifted."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AlertMute | None = None) -> bool:
        """Nobody edits a line; who may change the list lifts it."""
        return obj is None and super().has_change_permission(request)

    def save_model(self, request: HttpRequest, obj: AlertMute, form: forms.ModelForm, change: bool) -> None:
        """Made by the operation, in the name of who asks."""
        actor = actors.person(request.user)
        made = muting.mute(obj.kind, obj.channel, until=obj.until, reason=obj.reason, actor=actor)
        obj.pk, obj.made_at, obj.made_by = made.pk, made.made_at, made.made_by

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The row itself says who and when."""

    @admin.action(description="Lift: told again from now on", permissions=["change"])
    def lift(self, request: HttpRequest, chosen: QuerySet[AlertMute]) -> None:
        """Each by the operation."""
        for row in chosen:
            try:
                muting.lift(row.pk, actor=actors.person(request.user))
                messages.success(request, f"Lifted: {hearing.named(row.kind)}.")
            except NotPossible as error:
                messages.error(request, error.message)

    @admin.display(description="what", ordering="kind")
    def what(self, row: AlertMute) -> str:
        """In words."""
        return hearing.named(row.kind)

    @admin.display(description="to", ordering="channel")
    def channel_shown(self, row: AlertMute) -> str:
        """Where it stands among the URLs."""
        return _channel_named(row.channel)

    @admin.display(description="stands", boolean=True)
    def stands(self, row: AlertMute) -> bool:
        """Neither lifted nor over."""
        return row.lifted_at is None and row.until > timezone.now()


class RulesForm(forms.ModelForm):
    """When it is quiet, and when the day is summed up."""

    class Meta:
        model = AlertRules
        fields = ["quiet_from", "quiet_until", "summary_at", "zone"]
        labels = {"quiet_from": "Quiet from", "quiet_until": "Quiet until", "summary_at": "Summary of the day at"}
        help_texts = {
            "quiet_from": "Alerts wait until the hours are over, and are told if they still stand. Losses do not wait.",
            "summary_at": "To all channels: yesterday's sales, and what needs you. Empty: none.",
            "zone": "Whose clock that is, such as UTC or Europe/Berlin.",
        }

    def clean_zone(self) -> str:
        """A zone that this machine knows."""
        zone = str(self.cleaned_data["zone"]).strip()
        if zone not in zoneinfo.available_timezones():
            raise forms.ValidationError("No such time zone is known here.")
        return zone

    def clean(self) -> dict[str, Any]:
        """Quiet hours have both ends, or none."""
        given = super().clean() or self.cleaned_data
        begins, ends = given.get("quiet_from"), given.get("quiet_until")
        if (begins is None) != (ends is None):
            self.add_error("quiet_until", "Quiet hours need a beginning and an end.")
        elif begins is not None and begins == ends:
            self.add_error("quiet_until", "That would be all day.")
        return given


@admin.register(AlertRules)
class RulesAdmin(RecordedAdmin, DiscreetAdmin):
    """One row: made when it is asked for first."""

    form = RulesForm
    change_form_template = "admin/orders/record.html"
    recorded = AuditKind.ALERTS
    unrecorded = ("summed_up",)
    list_display = ["what", "quiet", "summary_at", "zone", "last"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRules]:
        """The row is there, where somebody may write it."""
        if self.has_change_permission(request):
            AlertRules.objects.get_or_create(pk=RULES)
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AlertRules | None = None) -> bool:
        """And it stays."""
        return False

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The trail has what was before and what is now."""

    @admin.display(description="rules")
    def what(self, row: AlertRules) -> str:
        """The way to the form."""
        return "quiet hours, summary"

    @admin.display(description="quiet")
    def quiet(self, row: AlertRules) -> SafeString | str:
        """From, until; and whether it is so now."""
        if row.quiet_from is None or row.quiet_until is None:
            return NOTHING
        hours = f"{row.quiet_from:%H:%M}–{row.quiet_until:%H:%M}"
        return mark(f"{hours}, now", "bad") if hearing.is_quiet(row, timezone.now()) else hours

    @admin.display(description="last summary")
    def last(self, row: AlertRules) -> str:
        """The day on which it was told."""
        return str(row.summed_up) if row.summed_up else NOTHING
