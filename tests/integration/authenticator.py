"""A person with a password and an authenticator, at the admin's entrance."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import TOTP

from lsp_site import factors

LOGIN, CODE, ENROL, OWN = (
    *("/admin/login/", "/admin/second-factor/code/", "/admin/second-factor/enrol/", "/admin/second-factor/"),
)
PASSWORD = "Quietly7Walks"


def password(client: Client, path: str = LOGIN, given: str = PASSWORD) -> Any:
    return client.post(path, {"username": "alice", "password": given})


def code_of(secret: bytes, *, steps: int = 0) -> str:
    totp = TOTP(secret, 30)
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06}"


def enrolled(user: User, *, steps: int = -1) -> tuple[bytes, list[str]]:
    """Their secret and recovery codes; the code of now is still good, as they enrolled with the one before."""
    secret = factors.new_secret()
    return secret, factors.enrol(user, secret, code_of(secret, steps=steps))


def shown_secret(answer: Any) -> bytes:
    found = re.search(r'id="secret">([A-Z2-7 ]+)<', answer.content.decode())
    assert found, answer.content.decode()
    return base64.b32decode(found[1].replace(" ", ""))


def is_in(client: Client) -> bool:
    return bool(client.get("/admin/").status_code == 200)


def logged_in(secret: bytes) -> Client:
    client = Client()
    password(client)
    assert client.post(CODE, {"code": code_of(secret)}).status_code == 302
    return client
