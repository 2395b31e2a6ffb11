"""What the OpenAPI file describes: each door once, at the root that its clients are told of."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("", include("orders.api.urls")),
    path("api/v1/", include("lsps.rest.urls")),
]
