"""Log lines: one event, one line."""

from __future__ import annotations

import ast
import io
import logging
import os
import subprocess
import sys

import pytest
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, TooManyFieldsSent
from django.core.handlers.exception import response_for_exception
from django.test import Client, RequestFactory, override_settings
from django.views.debug import get_default_exception_reporter_filter

from lsp_site.logs import KeyValueFormatter
from tests.house.source import ROOT


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


ID = "3e0441f6-b418-4a7f-9b1d-0c2a5e88f001"
TOKEN = "c4" * 32


def test_found_b1_no_order_is_named_by_its_whole_id_whoever_writes() -> None:
    try:
        raise ValueError(f"order {ID} is broken")
    except ValueError:
        record = logging.LogRecord(
            "orders", logging.ERROR, "x.py", 1, "order=%s GET %s", (ID, f"/x?id={ID}"), sys.exc_info()
        )
    vars(record).update(order_id=ID, told={"id": ID})
    written = KeyValueFormatter().format(record)
    assert written.count("3e0441f6") == 5 and "b418" not in written


@pytest.mark.parametrize(
    "text",
    [
        f"GET /lnurl/channel?k1=x&order_token={TOKEN}&private=1",
        f"{{'order_token': '{TOKEN}'}}",
        f"order_token: {TOKEN}",
    ],
)
def test_found_b1_no_token_is_written_whoever_repeats_a_request(text: str) -> None:
    assert TOKEN not in line(text) and "order_token" in line(text)


def test_a_sentence_about_the_token_stays_whole() -> None:
    sentence = "The order_token is not that of the order."
    assert sentence in line(sentence)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the process writes to its log."""
    [handler] = [each for each in logging.root.handlers if isinstance(each.formatter, KeyValueFormatter)]
    stream = io.StringIO()
    monkeypatch.setattr(handler, "stream", stream)
    return stream


@pytest.mark.parametrize("host", ["evil.example", "a\nlevel=error", "\x1b[31mred", "a\r\n\x9b\x00\x7f\u2028"])
@pytest.mark.parametrize("path", ["/node/info", "/v1/node/info", "/api/v1/get_info", "/lnurl/channel", "/admin/"])
def test_a_host_that_is_not_ours_is_one_line_of_warning(written: io.StringIO, host: str, path: str) -> None:
    assert Client().get(path, headers={"Host": host}).status_code in {200, 400}  # 200 is v1's and LNURL's manner
    [line, nothing] = written.getvalue().split("\n")
    assert " level=warning logger=django.security.DisallowedHost " in line and " trace=" not in line
    assert line.isprintable() and nothing == ""


@pytest.mark.parametrize(
    "error", [SuspiciousOperation("x"), TooManyFieldsSent("x"), PermissionDenied("x"), BadRequest("x")]
)
def test_whatever_a_request_is_refused_for_is_one_line_of_warning(written: io.StringIO, error: Exception) -> None:
    request = RequestFactory().get("/nothing")
    assert response_for_exception(request, error).status_code in {400, 403}
    assert written.getvalue().count(" level=warning ") == 1 and " trace=" not in written.getvalue()


def test_control_a_defect_of_ours_is_an_error_with_its_trace(written: io.StringIO) -> None:
    try:
        raise ZeroDivisionError("ours")
    except ZeroDivisionError as error:
        response_for_exception(RequestFactory().get("/nothing"), error)
    assert " level=error " in written.getvalue() and "ZeroDivisionError: ours" in written.getvalue()


HANDLERS = """
import logging, django, sys
django.setup()
import django_q.cluster
if "gunicorn" in sys.argv:
    from gunicorn.config import Config
    from gunicorn.glogging import Logger
    from lsp_site.running import gunicorn as ours
    config = Config()
    config.set("logconfig_dict", ours.logconfig_dict)
    for name in sys.argv[2:]:
        config.set(name, "-")
    Logger(config)
loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
handlers = [(logger.name, h) for logger in loggers for h in logger.handlers if not isinstance(h, logging.NullHandler)]
print(sorted({(name, type(handler.formatter).__name__) for name, handler in handlers}))
"""


@pytest.mark.parametrize("process", [[], ["gunicorn"], ["gunicorn", "accesslog", "errorlog"]])
def test_every_handler_of_every_process_writes_so(process: list[str]) -> None:
    """A handler that a library brings would write what the others cut."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", HANDLERS, *process], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    handlers = ast.literal_eval(done.stdout)
    assert ("root", "KeyValueFormatter") in handlers
    assert {formatter for _, formatter in handlers} == {"KeyValueFormatter"}, handlers


@override_settings(LND_MACAROON="0201036c6e64", PREIMAGE_KEY="ab" * 32)
def test_error_pages_hide_our_secrets() -> None:
    shown = get_default_exception_reporter_filter().get_safe_settings()
    assert "0201036c6e64" not in str(shown) and "ab" * 32 not in str(shown)
