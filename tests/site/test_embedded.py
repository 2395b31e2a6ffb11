"""The embedded PostgreSQL: one owner, whole or absent, also where the path is too long for a socket."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from lsp_site.running import embedded
from lsp_site.running.embedded import DatabaseFailed, EmbeddedPostgres


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lsp-db-"))
    yield folder
    shutil.rmtree(folder)


def test_a_database_keeps_what_it_was_told_over_a_restart(home: Path) -> None:
    for expected in (0, 1):
        postgres = EmbeddedPostgres(home)
        postgres.start()
        try:
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
                assert connection.execute("SELECT count(*) FROM kept").fetchone() == (expected,)
                connection.execute("INSERT INTO kept VALUES (1)")
        finally:
            postgres.stop()
        assert not embedded.is_running(home)


def test_a_second_owner_is_refused_and_the_first_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_START_SECONDS", 0.5)
    first, second = EmbeddedPostgres(home), EmbeddedPostgres(home)
    first.start()
    try:
        with pytest.raises(DatabaseFailed, match="Is another one using it"):
            second.start()
        second.stop()
        assert embedded.is_running(home)
    finally:
        first.stop()


def test_a_half_made_data_folder_is_made_anew(home: Path) -> None:
    (home / "postgres.new").mkdir()
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")
    postgres = EmbeddedPostgres(home)
    postgres.start()
    postgres.stop()
    assert [path.name for path in home.iterdir()] == ["postgres"]


def test_a_home_whose_path_is_too_long_for_a_socket_works_too(home: Path) -> None:
    far = home / ("x" * 100)
    postgres = EmbeddedPostgres(far)
    postgres.start()
    try:
        assert embedded.socket_folder(far) != embedded.data_folder(far)
        assert embedded.is_running(far)
    finally:
        postgres.stop()
        shutil.rmtree(embedded.socket_folder(far))
