"""The queue's own admin pages are taken away: they let staff run a task a second time. Accounts and groups are ours."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django_q.models import Failure, OrmQ, Schedule, Success

from lsp_site.people import StaffAdmin, StaffGroupAdmin

for _model in (Failure, OrmQ, Schedule, Success, User, Group):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)
admin.site.register(User, StaffAdmin)
admin.site.register(Group, StaffGroupAdmin)
