"""Every page for staff that the browser walks. Who adds a page adds a line here."""

from __future__ import annotations

from typing import Final

BOSS, VIEWER = "boss", "viewer"

_LISTS: Final = (
    *(
        "alertmute",
        "ban",
        "bookscheck",
        "channelopening",
        "channelorder",
        "dryrun",
        "entry",
        "flag",
        "heartbeat",
        "holdinvoice",
        "jitpart",
        "jitpurchase",
    ),
    *(
        "coupon",
        "dryrun",
        "tokenpattern",
        "idempotencykey",
        "node",
        "nodesnapshot",
        "onchainpayment",
        "orderevent",
        "refund",
        "service",
        "switchevent",
    ),
    "wallettransaction",
    *("wakeup", "webhook"),
)

#: The name of a page, where it is, and who opens it. `{open}`, `{given_up}` and the like are the references of orders
#: in such a state (tests/pages/history.py says which there are).
PAGES: Final[dict[str, tuple[str, str]]] = {
    "first page": ("/admin/", BOSS),
    "first page, read only": ("/admin/", VIEWER),
    "orders": ("/admin/orders/channelorder/", BOSS),
    "order, open": ("/admin/orders/channelorder/{open}/change/", BOSS),
    "order, open, read only": ("/admin/orders/channelorder/{open}/change/", VIEWER),
    "order, cancelled": ("/admin/orders/channelorder/{rejected}/change/", BOSS),
    "service": ("/admin/orders/service/add/", BOSS),
    "coupon": ("/admin/orders/coupon/add/", BOSS),
    "what we earn": ("/admin/orders/channelorder/earnings/", VIEWER),
    "second factor": ("/admin/second-factor/", VIEWER),
    "who did what": ("/admin/orders/auditentry/", BOSS),
    "alerts": ("/admin/orders/alert/", BOSS),
    "users": ("/admin/auth/user/", BOSS),
    "password": ("/admin/password_change/", VIEWER),
}

#: Besides, with all the others only in `make test-long`.
MORE: Final[dict[str, tuple[str, str]]] = {
    **{f"list of {name}": (f"/admin/orders/{name}/", BOSS) for name in _LISTS},
    "second factor, first time": ("/admin/second-factor/enrol/", VIEWER),
    "mute": ("/admin/orders/alertmute/add/", BOSS),
    "ban": ("/admin/orders/ban/add/", BOSS),
    "new account": ("/admin/auth/user/add/", BOSS),
    "account": ("/admin/auth/user/1/change/", BOSS),
    "groups": ("/admin/auth/group/", BOSS),
    "group": ("/admin/auth/group/1/change/", BOSS),
    "applications": ("/admin/orders/", VIEWER),
    "rules of alerts": ("/admin/orders/alertrules/1/change/", BOSS),
    **{f"order, {state}": (f"/admin/orders/channelorder/{{{state}}}/change/", BOSS) for state in ("closed", "expired")},
}
