"""Events of our Prefect server: they repeat what artifacts say, and its API cannot change them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import psycopg

from infra import embedded_postgres
from infra.connection import parameters, translated
from infra.prefect_server import DATABASE, kept_url

_SHARED = "postgresql+asyncpg://"
_FIND = """
select id, payload::text from public.events
where event like 'prefect.artifact%%' and payload ? 'data' and (
    exists (select from jsonb_array_elements(related) as r
        where r ->> 'prefect.resource.id' = any(%(runs)s))
    or lower(payload::text) like any (%(patterns)s))
"""
_EMPTY = "update public.events set payload = payload - 'data' where id = any(%(ids)s)"


def empty_events(
    home: Path,
    api_url: str,
    runs: Sequence[UUID],
    patterns: Sequence[str],
    has_words: Callable[[str], bool],
) -> int | None:
    """Take what artifacts said out of the events of these runs, and out of others with the words;
    how many. ``patterns``: SQL's, of all that may have them.

    None where the server is not ours, or keeps its data elsewhere than in PostgreSQL. Blocks.
    """
    url = os.environ.get(DATABASE) or embedded_postgres.prefect_url(home)
    if api_url != kept_url(home) or not url.startswith(_SHARED):
        return None
    plain = f"postgresql://{url.removeprefix(_SHARED).partition('?')[0]}"
    named = [f"prefect.flow-run.{run}" for run in runs]
    with translated(), psycopg.connect(**parameters(plain)) as connection:
        found = connection.execute(_FIND, {"runs": named, "patterns": list(patterns)}).fetchall()
        related = connection.execute(_FIND, {"runs": named, "patterns": []}).fetchall()
        ids = {id_ for id_, _ in related} | {id_ for id_, said in found if has_words(said)}
        connection.execute(_EMPTY, {"ids": [*ids]})
    return len(ids)
