"""`manage.py bake_macaroon`: the macaroon that allows the server's calls and nothing else."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from lightning import connection, rights
from lightning.baking import bake
from lightning.errors import LightningError
from lightning.node import LndNode

_LARGEST_ROOT_KEY_ID = 2**64 - 1


class Command(BaseCommand):
    """Bakes it, tries it, and only then writes it."""

    help = "Bakes the macaroon that allows exactly what the server calls, with one that may bake."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="the file to write, mode 0600")
        parser.add_argument(
            "--admin-macaroon",
            type=Path,
            metavar="PATH",
            help="a macaroon that may bake, such as LND's admin.macaroon; by default LND_MACAROON",
        )
        parser.add_argument(
            "--root-key-id",
            type=root_key,
            default=1,
            metavar="N",
            help="what `lncli deletemacaroonid N` revokes; not 0, which is the key of LND's own (by default 1)",
        )
        parser.add_argument("--force", action="store_true", help="write over the file that is there")

    def handle(
        self, *args: Any, out: Path, admin_macaroon: Path | None, root_key_id: int, force: bool, **options: Any
    ) -> None:
        admin = connection.credentials()
        if admin_macaroon is not None:
            admin = replace(admin, macaroon=str(admin_macaroon))
        if not admin.target or not admin.macaroon:
            raise CommandError("LND_GRPC must be set, and LND_MACAROON or --admin-macaroon.")
        refuse_unless_free(out, force)
        methods = rights.to_bake(just_in_time=settings.LSPS2_ENABLED, waking=settings.LSPS5_ENABLED)
        try:
            baked = bake(admin, methods=methods, root_key_id=root_key_id)
            info = LndNode(replace(admin, macaroon=baked.hex())).info()
        except LightningError as error:
            raise CommandError(f"Nothing was written. {error}") from error
        write(out, baked, force)
        self.stdout.write(f"{out}: {len(methods)} methods of {info.alias or info.pubkey} ({info.network}).")
        self.stdout.write(f"Set LND_MACAROON={out}. To revoke it: lncli deletemacaroonid {root_key_id}")


def root_key(text: str) -> int:
    """Raises: argparse.ArgumentTypeError."""
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _LARGEST_ROOT_KEY_ID:
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


def refuse_unless_free(out: Path, force: bool) -> None:
    """The file may be written. Raises: CommandError."""
    if not out.parent.is_dir():
        raise CommandError(f"There is no folder {out.parent}.")
    if out.is_dir():
        raise CommandError(f"{out} is a folder.")
    if out.exists() and not force:
        raise CommandError(f"{out} is there already; --force writes over it.")


def write(out: Path, content: bytes, force: bool) -> None:
    """The file holds the content, whole, and only its owner may read it. Raises: CommandError."""
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if force:
            draft.replace(out)
        else:
            os.link(draft, out)  # unlike a rename it fails where somebody was quicker
    except OSError as error:
        raise CommandError(f"{out} cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
