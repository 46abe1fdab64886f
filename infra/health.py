"""What there is to reach outside, asked without changing or starting anything."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus

import psycopg
from psycopg.rows import dict_row

from infra.connection import parameters, translated
from infra.errors import DatabaseError, ModelRejected, ModelUnavailable
from infra.sql import queries

_PATIENCE = 5.0  # seconds


def database_versions(url: str) -> str:
    """The versions of a PostgreSQL and of its pgvector, in words.

    Raises DatabaseUnavailable when it cannot be reached, DatabaseError when it has no pgvector.
    """
    with translated(), psycopg.connect(**parameters(url)) as connection:
        cursor = connection.execute(
            "select current_setting('server_version'),"
            " (select max(version) from pg_available_extension_versions where name = 'vector')"
        )
        [(server, vector)] = cursor.fetchall()
    if vector is None:
        raise DatabaseError(f"PostgreSQL {server} has no pgvector: install it on the server.")
    return f"PostgreSQL {server.split()[0]}, pgvector {vector}"


def endpoint_models(base_url: str, key: str | None) -> list[str]:
    """Names of the models that an OpenAI-compatible endpoint offers; no model is called.

    Raises ModelUnavailable when it cannot be reached, ModelRejected when it refuses the key. Not
    every endpoint tells its models: then the list is empty.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{base_url.rstrip('/')}/models", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
            return [model["id"] for model in json.load(response)["data"]]
    except urllib.error.HTTPError as error:
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ModelRejected(f"{base_url} refuses the key.") from error
        return []
    except OSError as error:
        raise ModelUnavailable(f"{base_url} cannot be reached: {error}.") from error
    except (ValueError, KeyError, TypeError):
        return []


def missing_roles(url: str, roles: Sequence[str]) -> list[str]:
    """Those of the roles that the URL's user cannot act as. Raises DatabaseError."""
    with translated(), psycopg.connect(**parameters(url), row_factory=dict_row) as connection:
        found = {
            role: connection.execute(queries()["state_of_role"], {"role": role}).fetchone()
            for role in roles
        }
    return [role for role, state in found.items() if not (state and state["ours"])]
