"""Who of the staff may do what, at each address of the admin and with each deed: the table that the tests walk.

Another address, model, action or deed has its line here, or the tests fail.
"""

from __future__ import annotations

from typing import Final

#: From none to all: an account without a group, the three groups, and a superuser.
ROLES: Final = ("nobody", "viewer", "operator", "manager", "boss")

ALL = ROLES
VIEWERS = ("viewer", "operator", "manager", "boss")
OPERATORS = ("operator", "manager", "boss")
MANAGERS = ("manager", "boss")
BOSS = ("boss",)
NONE: tuple[str, ...] = ()

#: Of each model: who sees its rows, adds one, changes one, deletes one.
MODELS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    **dict.fromkeys(
        (
            *("orders.channelorder", "orders.holdinvoice", "orders.onchainpayment", "orders.channelopening"),
            *("orders.wallettransaction", "orders.orderevent", "orders.flag", "orders.node", "orders.nodesnapshot"),
            *("orders.heartbeat", "orders.switchevent", "orders.idempotencykey", "orders.refund", "orders.entry"),
            *("orders.bookscheck", "orders.alert", "orders.auditentry", "orders.dryrun"),
            *("orders.jitpurchase", "orders.jitpart", "orders.webhook", "orders.wakeup"),
        ),
        (VIEWERS, NONE, NONE, NONE),
    ),
    "orders.service": (VIEWERS, MANAGERS, MANAGERS, MANAGERS),
    **dict.fromkeys(("orders.coupon", "orders.tokenpattern"), (MANAGERS, MANAGERS, MANAGERS, MANAGERS)),
    "orders.ban": (VIEWERS, MANAGERS, NONE, NONE),
    "orders.alertmute": (VIEWERS, OPERATORS, NONE, NONE),
    "orders.alertrules": (VIEWERS, NONE, MANAGERS, NONE),
    "auth.user": (MANAGERS, BOSS, BOSS, BOSS),
    "auth.group": (MANAGERS, BOSS, BOSS, BOSS),
}

#: All other addresses: who has the page, and who may post to it.
PAGES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "index": (ALL, ALL),
    "login": (ALL, ALL),
    "logout": (ALL, ALL),
    "password_change": (ALL, ALL),
    "password_change_done": (ALL, NONE),
    "jsi18n": (ALL, NONE),
    "app_list": (ALL, ALL),
    "autocomplete": (NONE, NONE),
    "second_factor": (ALL, ALL),
    "second_factor_code": (ALL, ALL),
    "second_factor_enrol": (ALL, ALL),
    "second_factor_codes": (ALL, ALL),
    "second_factor_remove": (ALL, ALL),
    "orders_channelorder_steer": (OPERATORS, OPERATORS),
    "orders_earnings": (VIEWERS, NONE),
    "orders_earnings_csv": (VIEWERS, NONE),
    "orders_switchevent_switch": (NONE, OPERATORS),
    "orders_alert_test": (NONE, OPERATORS),
    "auth_user_password_change": (BOSS, BOSS),
}

#: What the lists offer beside looking: who is offered it.
ACTIONS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    **{
        ("orders.channelorder", deed): OPERATORS
        for deed in (
            *("retry", "give_up", "cancel", "record_returned", "revive", "release_refund", "grant_refund"),
            *("settle_flag", "return_money"),
        )
    },
    ("orders.ban", "lift"): MANAGERS,
    ("orders.entry", "as_csv"): VIEWERS,
    ("orders.alertmute", "lift"): OPERATORS,
    ("auth.user", "reset_factor"): BOSS,
    ("auth.user", "delete_selected"): BOSS,
    ("auth.group", "delete_selected"): BOSS,
}

#: What is done to orders: who may.
DEEDS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        (
            *("retry", "give_up", "cancel", "record_returned", "revive", "pay_back", "keep_refund", "release_refund"),
            *("grant_refund", "decline_refund", "settle_flag", "return_money", "note", "close_channel"),
            "withdraw_close",
        ),
        OPERATORS,
    ),
    **dict.fromkeys(
        (
            *("force_channel", "override_lease", "override_lease_by_force", "extend_lease"),
            *("ban_node", "ban_address", "ban_payers"),
        ),
        MANAGERS,
    ),
}
