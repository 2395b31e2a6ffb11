"""The three calls. The site mounts them where wallets look for them."""

from __future__ import annotations

from django.urls import path

from lsps.rest.views import Lsps1ViewSet

urlpatterns = [
    path("get_info", Lsps1ViewSet.as_view({"get": "get_info"}), name="get-info"),
    path("create_order", Lsps1ViewSet.as_view({"post": "create_order"}), name="create-order"),
    path("get_order", Lsps1ViewSet.as_view({"get": "get_order"}), name="get-order"),
]
