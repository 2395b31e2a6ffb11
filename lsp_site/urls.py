"""Where everything is. The channel-request API stands at three roots, LSPS1 at two; the schema has one of each."""

from __future__ import annotations

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularSwaggerView

from lsp_site import metrics, views, well_known
from lsps.rest.errors import MOUNTS

admin.site.site_header = admin.site.site_title = "LSP"
admin.site.site_url = "/docs"
admin.site.enable_nav_sidebar = False  # the list of orders needs the width

#: The one that /docs has.
_ICON = "drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png"

handler400 = "lsp_site.error_pages.bad_request"
handler403 = "lsp_site.error_pages.forbidden"
handler404 = "lsp_site.error_pages.not_found"
handler500 = "lsp_site.error_pages.server_error"

urlpatterns = [
    path("", RedirectView.as_view(url="/docs")),
    path("docs", require_safe(SpectacularSwaggerView.as_view(url="/openapi.yaml")), name="docs"),
    path("favicon.ico", RedirectView.as_view(url=static(_ICON))),  # browsers ask for it at each page
    path("openapi.yaml", views.schema, name="schema"),
    path("healthz", views.health, name="health"),
    path("readyz", views.ready, name="ready"),
    path(".well-known/lsp.json", well_known.offer, name="well-known"),
    path("metrics", metrics.scrape, name="metrics"),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    # Before the first server's own: what is LSPS1's there keeps to LSPS1's manners.
    *(path(f"{mount}/", include(("lsps.rest.urls", mount.replace("/", "_") + "_lsps1"))) for mount in MOUNTS),
    path("", include("orders.api.urls")),
    path("v1/", include(("orders.api.urls", "v1"))),
    path("api/v1/", include(("orders.api.urls", "api_v1"))),
]
