"""Log lines: one event, one line."""

from __future__ import annotations

import logging
import sys

from django.test import override_settings
from django.views.debug import get_default_exception_reporter_filter

from lsp_site.logs import KeyValueFormatter


def line(message: str, **extra: object) -> str:
    record = logging.LogRecord("orders", logging.INFO, "x.py", 1, message, (), None)
    vars(record).update(extra)
    return KeyValueFormatter().format(record)


def test_facts_follow_the_message_as_keys_and_values() -> None:
    assert line("opening failed", order_id="a-1", reason='peer said "no"').endswith(
        'level=info logger=orders message="opening failed" order_id=a-1 reason="peer said \\"no\\""'
    )


def test_nobody_can_forge_a_second_line() -> None:
    assert "\n" not in line("a\nlevel=error message=b", host="x\r\ny")


def test_a_trace_stays_in_the_line_of_its_event() -> None:
    try:
        raise ValueError("gone")
    except ValueError:
        record = logging.LogRecord("orders", logging.ERROR, "x.py", 1, "failed", (), sys.exc_info())
    written = KeyValueFormatter().format(record)
    assert "ValueError: gone" in written and "\n" not in written


@override_settings(LND_MACAROON="0201036c6e64", PREIMAGE_KEY="ab" * 32)
def test_error_pages_hide_our_secrets() -> None:
    shown = get_default_exception_reporter_filter().get_safe_settings()
    assert "0201036c6e64" not in str(shown) and "ab" * 32 not in str(shown)
