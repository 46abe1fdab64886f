"""Backups of a data directory, brought back there and elsewhere."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from infra import backup, embedded_postgres
from infra.backup import back_up, restore
from infra.errors import DatabaseError, InputError, SettingsError
from infra.schema import migrate
from infra.settings import get_settings


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Path, Path]]:
    """A data directory with a corpus and a specialist, and an empty one."""
    top = Path(tempfile.mkdtemp(prefix="patterns-test-"))
    top.chmod(0o711)  # as root, PostgreSQL's account has to get through
    first, second = top / "first", top / "second"
    first.mkdir(mode=0o711)
    second.mkdir(mode=0o711)
    migrate(embedded_postgres.ensure_running(first))
    do(first, "insert into patterns.corpora (name) values ('support')")
    do(first, "create table flow_run (name text)", "prefect")
    do(first, "create table public.subscriptions (id int)")
    do(first, "grant select on public.subscriptions to patterns_proposer")
    (first / "specialists" / "1").mkdir(parents=True)
    (first / "specialists" / "1" / "model.onnx").write_bytes(b"\0weights")
    yield first, second
    for home in (first, second):
        embedded_postgres.stop(home)
    shutil.rmtree(top)


@pytest.fixture
def homes(both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Both, the first of which the settings name."""
    use(monkeypatch, both[0])
    return both


def use(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PATTERNS_HOME", str(home))
    get_settings.cache_clear()


def do(home: Path, statement: str, database: str = "patterns") -> list[tuple[object, ...]]:
    url = embedded_postgres.database_url(home, database)
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def corpora(home: Path) -> list[tuple[object, ...]]:
    return do(home, "select name from patterns.corpora")


def test_a_backup_brings_everything_to_an_empty_machine(
    homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = homes
    file = first / "backup.tar"
    assert back_up(file) == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    use(monkeypatch, second)
    assert restore(file) == []
    assert corpora(second) == [("support",)]
    assert do(second, "select count(*) from flow_run", "prefect") == [(0,)]
    assert do(second, "select count(*) from public.subscriptions") == [(0,)]
    assert (second / "specialists" / "1" / "model.onnx").read_bytes() == b"\0weights"
    names = {name for (name,) in do(second, "select datname from pg_database")}
    assert names == {"patterns", "prefect", "postgres", "template0", "template1"}
    migrate(embedded_postgres.ensure_running(second))  # finds it up to date


def test_what_a_restore_replaces_is_kept_and_a_file_that_is_no_backup_changes_nothing(
    homes: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = homes
    file, torn, other = (first / f"{name}.tar" for name in ("backup", "torn", "other"))
    back_up(file)
    do(first, "insert into patterns.corpora (name) values ('later')")
    torn.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with tarfile.open(other, "w") as archive:
        archive.add(first / "specialists", "specialists")
    with pytest.raises(InputError, match=r"There is no file .*missing\.tar"):
        restore(first / "missing.tar")
    for wrong in (torn, other):
        with pytest.raises(InputError, match=rf"{wrong.name} is no whole backup"):
            restore(wrong)
    monkeypatch.setattr(backup, "running_service", lambda home, name: name == "serve")
    with pytest.raises(SettingsError, match=r"Running: serve\. Stop it with `patterns down`"):
        restore(file)
    monkeypatch.undo()
    use(monkeypatch, first)
    assert len(corpora(first)) == 2

    kept = restore(file)
    assert corpora(first) == [("support",)]
    [database] = [name for name in kept if name.startswith("patterns_before_")]
    assert len(do(first, "select name from patterns.corpora", database)) == 2
    [models] = [name for name in kept if name.startswith("specialists_before_")]
    assert (first / models / "1" / "model.onnx").exists()


def test_a_backup_of_a_newer_program_is_refused_and_what_is_there_stays(
    homes: tuple[Path, Path],
) -> None:
    first, _ = homes
    [(ours,)] = do(first, "select version_num from patterns.alembic_version")
    file = first / "backup.tar"
    do(first, "update patterns.alembic_version set version_num = '9999'")
    back_up(file)
    do(first, f"update patterns.alembic_version set version_num = '{ours}'")
    there = do(first, "select oid from pg_database where datname = 'patterns'")
    with pytest.raises(DatabaseError, match="newer than this program"):
        restore(file)
    assert do(first, "select oid from pg_database where datname = 'patterns'") == there


def test_a_backup_that_fails_leaves_no_file(homes: tuple[Path, Path]) -> None:
    first, _ = homes
    do(first, "alter database prefect rename to hidden", "postgres")
    with pytest.raises(DatabaseError, match="pg_dump failed for the database prefect"):
        back_up(first / "new.tar")
    do(first, "alter database hidden rename to prefect", "postgres")
    assert not list(first.glob("*new.tar*"))
    assert not list(first.glob(".backup-*"))


def test_a_database_of_the_users_own_is_his_to_back_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATTERNS_DATABASE_URL", "postgresql://me@db/mine")
    get_settings.cache_clear()
    for work in (back_up, restore):
        with pytest.raises(SettingsError, match="back it up as you do others"):
            work(tmp_path / "backup.tar")
