"""What a buyer is promised for forwarding: in the quote, and on the order as sold."""

from __future__ import annotations

from orders.models import ChannelOrder, Service
from tests.integration.conftest import Api

PROMISE = {"most_routing_base_msat": 1_000, "most_routing_ppm": 200}


def test_a_quote_says_what_is_promised_and_the_order_keeps_it_as_sold(api: Api) -> None:
    assert api.buy().said["max_routing_fee_base_msat"] is None
    Service.objects.update(**PROMISE)
    said = api.buy().said
    assert (said["max_routing_fee_base_msat"], said["max_routing_fee_ppm"]) == (1_000, 200)
    Service.objects.update(most_routing_base_msat=9, most_routing_ppm=9)
    order = ChannelOrder.objects.get(pk=said["order_id"])
    assert (order.most_routing_base_msat, order.most_routing_ppm) == (1_000, 200)
    seen = api.get("/channel/order", {"order_id": said["order_id"]}).said
    assert (seen["max_routing_fee_base_msat"], seen["max_routing_fee_ppm"]) == (1_000, 200)
