"""What a running shop has said in sentences until now is said by kinds and causes, its words kept as they are."""

from __future__ import annotations

import re

from django.db import migrations
from django.utils import timezone

#: How each sentence begins that an order was flagged with, and its kind.
_KINDS = [
    (r"The node has not enough deep coins", "coins_short"),
    (r"The funding transaction would cost more", "fee_too_high"),
    (r"The node refuses the funding transaction", "publishing_refused"),
    (r"Gave up \(", "gave_up"),
    (r"Paid (on chain )?and never claimed", "never_claimed"),
    (r"Cancelled; the buyer's money", "cancelled_paid"),
    (r"Deposits are \d+ sat more", "deposits_surplus"),
    (r"Paid by Lightning, and \d+ sat arrived", "paid_besides"),
    (r"The Lightning payment is \d+ sat too much", "lightning_surplus"),
    (r"\d+ sat arrived on chain after", "paid_late"),
    (r"Ended unpaid with \d+ sat", "ended_with_deposits"),
    (r"A deposit that counted was taken back", "deposit_taken_back"),
    (r"A deposit that counted is not in the node's wallet", "deposit_vanished"),
    (r"The node has a channel or funding of this order that cannot be adopted", "not_adoptable"),
    (r"The node has a channel or funding of this order that our records do not know", "trace_unknown"),
    (r"The funding is mined, but the node does not know the channel", "channel_unknown"),
    (r"The channel has been mined for a day and is not active", "channel_inactive"),
    (r"The channel closed before it was ever usable", "closed_unused"),
    (r"The funding was mined although we had put it out", "mined_after_all"),
    (r"The funding of this order's channel was double-spent", "double_spent"),
    (r"The funding transaction stays unmined", "unmined"),
    (r"A funding is to be put out, but the fees are above", "conflict_too_dear"),
    (r"The node returned the Lightning payment although", "returned_while_opening"),
    (r"The funding is published but the node had returned the payment", "unpaid_channel"),
    (r"The Lightning payment was settled at the node although", "settled_unasked"),
    (r"The node does not settle the held payment", "not_settled"),
    (r"The node does not know the invoice of the payment", "invoice_unknown"),
    (r"PREIMAGE_KEY is not the one", "cannot_settle"),
    (r"An attempt to open stays ", "attempt_stuck"),
    (r"A defect of the server", "server_defect"),
    (r"The wallet has sent this order's money back", "sent_back"),
]
_BEHIND = "Our records are being checked after a restart"
_ORDER, _FLAG = "order:", "flag:"


def kind_of(words):
    """The kind that says what the sentence says."""
    return next((kind for beginning, kind in _KINDS if re.match(beginning, words)), "other")


def flags(apps, schema_editor):
    """Each flagged order has a row, raised when and by whom its journal says; the alert that told of it tells of it."""
    ChannelOrder, Flag = apps.get_model("orders", "ChannelOrder"), apps.get_model("orders", "Flag")
    Alert, OrderEvent = apps.get_model("orders", "Alert"), apps.get_model("orders", "OrderEvent")
    told = dict(Alert.objects.filter(cleared_at=None, key__startswith=_ORDER).values_list("key", "pk"))
    now = timezone.now()
    for order in ChannelOrder.objects.filter(needs_staff=True).only("pk", "needs_staff_reason").iterator():
        words = order.needs_staff_reason
        raised = OrderEvent.objects.filter(order=order.pk, cause="needs_staff").order_by("version").last()
        flag = Flag.objects.create(
            order=order,
            kind=kind_of(words),
            words=words or "It needs a person.",
            raised_at=raised.at if raised else now,
            raised_by=raised.actor if raised else "lsp",
        )
        alert = told.pop(f"{_ORDER}{order.pk}:{words}"[:255], None)
        if alert is not None:
            Alert.objects.filter(pk=alert).update(key=f"{_FLAG}{flag.pk}")
    ChannelOrder.objects.filter(needs_staff=True).update(standing_flags=1)
    Alert.objects.filter(pk__in=told.values()).update(cleared_at=now)  # of reasons that stand no more


def named_in(reason):
    """What a pause named, between its parentheses."""
    found = re.search(r"\((.*)\)", reason)
    return [name.strip() for name in found[1].split(",")] if found else []


def causes(apps, schema_editor):
    """The pauses that were made because our records were behind say so, and of what."""
    apps.get_model("orders", "Switch").objects.filter(reason__startswith=_BEHIND).update(cause="behind")
    for event in apps.get_model("orders", "SwitchEvent").objects.filter(reason__startswith=_BEHIND):
        event.cause, event.named = "behind", named_in(event.reason)
        event.save(update_fields=["cause", "named"])


class Migration(migrations.Migration):
    dependencies = [("orders", "0011_flags_steps_and_causes")]
    operations = [
        migrations.RunPython(flags, migrations.RunPython.noop),
        migrations.RunPython(causes, migrations.RunPython.noop),
    ]
