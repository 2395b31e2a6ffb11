"""The paths of the specification and what we add: no slash at the end, no redirects. The site mounts them thrice."""

from __future__ import annotations

from django.urls import path

from orders.api.views import ChannelViewSet, LnurlViewSet, NodeViewSet

urlpatterns = [
    path("node/info", NodeViewSet.as_view({"get": "info"}), name="node-info"),
    path("channel/buy", ChannelViewSet.as_view({"post": "buy"}), name="channel-buy"),
    path("channel/estimate", ChannelViewSet.as_view({"post": "estimate"}), name="channel-estimate"),
    path("channel/manual_finalise", ChannelViewSet.as_view({"post": "manual_finalise"}), name="manual-finalise"),
    path("channel/refund_address", ChannelViewSet.as_view({"post": "refund_address"}), name="refund-address"),
    path("channel/order", ChannelViewSet.as_view({"get": "order", "post": "order"}), name="channel-order"),
    path("lnurl/channel", LnurlViewSet.as_view({"get": "channel", "post": "channel"}), name="lnurl-channel"),
]
