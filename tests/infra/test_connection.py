"""URLs of PostgreSQL, before they are used."""

import traceback
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.connection import checked_url, parameters
from infra.errors import SettingsError


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@host:5432/db",
        "postgres://user@host/db?sslmode=require",
        "postgresql://user:s3%40cret@one:1,two:2/db",
        "postgresql:///db?host=/run/postgresql",
        "host=host dbname=db password=s3cret",
    ],
)
def test_what_libpq_understands_is_taken_as_it_is(url: str) -> None:
    assert checked_url(url, "SETTING") == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:top@secret@host:5432/db",
        "postgresql://user:top/secret@host:5432/db",
        "postgresql://user:top%secret@host:5432/db",
        "postgresql://user:top secret@host/db",
        "postgresql+psycopg://user:secret@host/db",
        "mysql://user:secret@host/db",
        "secret",
    ],
)
def test_what_would_be_misread_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(SettingsError, match="SETTING") as caught:
        checked_url(url, "SETTING")
    shown = "".join(traceback.format_exception_only(caught.value))
    assert "secret" not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_password_is_refused_or_leaves_the_host_alone(password: str) -> None:
    with suppress(SettingsError):
        url = checked_url(f"postgresql://user:{password}@host:5432/db", "SETTING")
        assert parameters(url)["host"] == "host"


def test_what_the_url_says_wins_over_the_defaults() -> None:
    assert parameters("postgresql://host/db")["connect_timeout"] == 10
    assert parameters("postgresql://host/db?connect_timeout=3")["connect_timeout"] == "3"
