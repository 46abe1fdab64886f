"""Named statements: found, told apart, packaged, and understood by the schema."""

import re
import tomllib
from pathlib import Path

import psycopg
import pytest

from infra import sql
from infra.sql import queries

SQL = Path(sql.__file__).parent
_PARAMETER = re.compile(r"%\((\w+)\)[sbt]|%[sbt]|%%")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sql, "files", lambda _: tmp_path)
    monkeypatch.setattr(sql, "queries", queries.__wrapped__)
    (tmp_path / "queries").mkdir()
    return tmp_path / "queries"


def test_a_statement_is_what_stands_under_its_name(folder: Path) -> None:
    (folder / "one.sql").write_text("-- a remark\n-- name: first\nselect 1;\n\n-- name: second\n2")
    (folder / "notes.txt").write_text("-- name: third\nselect 3")
    assert sql.queries() == {"first": "select 1;", "second": "2"}


def test_a_name_that_stands_twice_is_an_error(folder: Path) -> None:
    (folder / "one.sql").write_text("-- name: same\nselect 1")
    (folder / "two.sql").write_text("-- name: same\nselect 2")
    with pytest.raises(ValueError, match="same is defined twice"):
        sql.queries()


def test_what_only_reads_or_says_so_may_be_repeated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "repeatable", sql.repeatable.__wrapped__)
    (folder / "one.sql").write_text(
        "-- name: reads\n-- A remark.\nselect 1;\n-- name: adds\ninsert into t select 1;\n"
        "-- name: sets (repeatable)\nupdate t set a = 1;\n"
        "-- name: hidden\nwith a as (delete from t) select 1"
    )
    assert sql.repeatable() == {"reads", "sets"}
    assert sql.queries().keys() == {"reads", "adds", "sets", "hidden"}


def numbered(statement: str) -> str:
    """psycopg's parameters as PostgreSQL numbers them."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        name = match[1] or f"#{len(names)}"
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PARAMETER.sub(number, statement)


async def test_every_statement_fits_the_schema(database: str) -> None:
    wrong = {}
    with psycopg.connect(database, autocommit=True) as connection:
        for statement in queries().values():
            if re.match(r"create (temp(orary)? table|(table|schema) if not exists)", statement):
                connection.execute(statement.replace("on commit drop", ""))
        for name, statement in numbers_in(connection).items():
            result = connection.pgconn.prepare(b"", numbered(statement).encode())
            state = result.error_field(psycopg.pq.DiagnosticField.SQLSTATE)
            if state not in (None, b"42P18", b"42725"):  # psycopg passes types along
                wrong[name] = result.error_message.decode()
    assert not wrong


def numbers_in(connection: psycopg.Connection) -> dict[str, str]:
    """The statements, those of an index with the numbers of one."""
    numbers = {"index": 0, "dimensions": 3, "pool": 1, "candidates": 1}
    making = queries()["make_passages"].format(**numbers)
    connection.execute(making)  # type: ignore[arg-type]
    found = {}
    for name, statement in queries().items():
        about_an_index = re.search(r"\{(index|pool|dimensions)\}", statement)
        found[name] = statement.format(**numbers) if about_an_index else statement
    return {**found, "make_passages": making.replace("passages_0", "passages_1")}


def test_a_wheel_takes_all_the_sql_along() -> None:
    pyproject = tomllib.loads((SQL.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = pyproject["tool"]["setuptools"]["package-data"]["*"]
    folders = [
        SQL.parents[1] / name.replace(".", "/")
        for name in pyproject["tool"]["setuptools"]["packages"]
    ]
    packaged = {file for folder in folders for pattern in patterns for file in folder.glob(pattern)}
    modules = {file for folder in folders for file in folder.glob("*.py")}
    there = {file for file in SQL.rglob("*") if file.suffix in {".sql", ".py"}}
    assert there <= packaged | modules
