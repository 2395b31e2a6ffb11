"""The application that gunicorn serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lsp_site.settings")

from django.conf import settings

from lsp_site.bodies import HeadAlone, LengthKnown

application = HeadAlone(LengthKnown(get_wsgi_application(), settings.DATA_UPLOAD_MAX_MEMORY_SIZE))
