"""What a connection to PostgreSQL is made of, and what its errors mean to us."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from infra.errors import (
    DatabaseError,
    DatabaseUnavailable,
    PatternsError,
    SettingsError,
    StorageError,
)


def checked_url(url: str, setting: str) -> str:
    """The URL, when libpq will read it as it was meant.

    Raises SettingsError naming the setting and nothing of the URL. libpq's own message would quote
    pieces of a password that holds one of the signs @ : / % and is not encoded.
    """
    if not _is_plain(url):
        raise SettingsError(
            f"{setting} is not a URL of PostgreSQL. It has the form "
            "postgresql://user:password@host:5432/database; in user and password, signs such as "
            "@ : / % are written as %40 %3A %2F %25."
        )
    return url


def parameters(url: str) -> dict[str, Any]:
    """Keyword arguments for psycopg's ``connect``: the URL's, and defaults for what it leaves."""
    return {"connect_timeout": 10, "application_name": "patterns", **conninfo_to_dict(url)}


def _is_plain(url: str) -> bool:
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    where = f"{parts.get('host', '')}{parts.get('dbname', '')}"
    port = str(parts.get("port", "5432")).replace(",", "")  # one for each of several hosts
    return "@" not in where and port.isdigit()


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ours: this is the border."""
    try:
        yield
    except psycopg.Error as error:
        raise _ours(error) from error


def _ours(error: psycopg.Error) -> PatternsError:
    said = str(error).strip().split("\n")[0].rstrip(".")
    state = error.sqlstate or ""
    if state == "53100":
        return StorageError(f"PostgreSQL's disk is full: {said}. Free some space there.")
    if state[:2] == "40" or state == "55P03":
        return DatabaseUnavailable(f"PostgreSQL gave up a transaction: {said}. Try again.")
    if isinstance(error, psycopg.OperationalError) and state[:2] in ("", "08", "53", "57"):
        return DatabaseUnavailable(
            f"PostgreSQL does not answer: {said}. "
            "See `patterns doctor`; PATTERNS_DATABASE_URL names the server."
        )
    return DatabaseError(f"PostgreSQL refused a statement: {said}.")
