"""Labels of prompt versions, such as production, moved only to a version that passes its cases.

Files decide in development; where PATTERNS_PROMPT_LABEL is set, a label does. A version is kept
whole, so the one that a label names can be served when the files have gone on.
"""

from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infra.errors import InputError
from infra.postgres import Connection, Jsonb, fetch, transaction
from infra.revisions import file_at
from infra.settings import get_settings
from infra.sql import queries
from tasks.prompts import Prompt, parse_prompt

_restored: dict[str, Prompt] = {}


class Move(BaseModel):
    """A label's move from one version of a prompt to another, by whom."""

    model_config = ConfigDict(frozen=True)

    label: str
    from_version: str | None
    to_version: str
    rollback: bool
    cases: int
    moved_by: str
    moved_at: datetime


async def labelled_prompts() -> Mapping[str, Prompt] | None:
    """The versions that the label of the settings names, by prompt; None where files decide."""
    label = get_settings().prompt_label
    if label is None:
        return None
    rows = await fetch("labelled_versions", {"label": label})
    return {row["name"]: _restore(row["name"], row) for row in rows}


async def find_version(name: str, reference: str) -> Prompt:
    """The version of a prompt that a label, or the beginning of a version, names.

    Raises InputError when there is none, or several.
    """
    rows = await fetch("find_versions", {"name": name, "reference": reference})
    if len(rows) == 1:
        return _restore(name, rows[0])
    found = ", ".join(row["version"][:12] for row in rows) or "none is kept"
    raise InputError(f"{reference!r} names no one version of the prompt {name}: {found}.")


async def earlier_version(name: str, reference: str) -> Prompt:
    """A version of a prompt by its label, by the beginning of its hash, or by a Git revision.

    Raises InputError when it is none of them.
    """
    try:
        return await find_version(name, reference)
    except InputError as unknown:
        folder = Path(str(files("tasks.prompts")))
        try:
            source = file_at(reference, folder / f"{name}.md")
        except InputError as error:
            raise InputError(f"{unknown} Nor is it a Git revision: {error}") from None
    parts = folder / "parts"
    return parse_prompt(
        name, source, lambda part: file_at(reference, parts / f"{part}.md").strip() + "\n"
    )


async def keep_version(prompt: Prompt) -> None:
    """Keep a version whole."""
    await fetch("keep_prompt_version", _row(prompt))


async def promote(prompt: Prompt, label: str, who: str, cases: int) -> Move:
    """Make a label name this version, of which so many cases have passed."""
    async with transaction() as connection:
        await connection.execute(queries()["keep_prompt_version"], _row(prompt))
        before = await _labelled(connection, prompt.name, label)
        return await _move(connection, prompt.name, label, before, prompt.version, who, cases=cases)


async def roll_back(name: str, label: str, who: str) -> Move:
    """Make a label name the version again that it named before the present one was promoted.

    Raises InputError when there is none.
    """
    async with transaction() as connection:
        now = await _labelled(connection, name, label)
        place = {"name": name, "label": label, "version": now}
        cursor = await connection.execute(queries()["version_before"], place)
        earlier = await cursor.fetchone()
        if now is None or earlier is None or earlier["from_version"] is None:
            raise InputError(
                f"{label} named no version of the prompt {name} before the present one."
            )
        return await _move(connection, name, label, now, earlier["from_version"], who)


async def history(name: str) -> list[Move]:
    """All moves of a prompt's labels, the newest last."""
    return [Move(**row) for row in await fetch("label_history", {"name": name})]


async def _labelled(connection: Connection, name: str, label: str) -> str | None:
    """The version that a label names, which nobody else moves before this transaction ends."""
    place = {"name": name, "label": label}
    await connection.execute(queries()["lock_label"], place)
    row = await (await connection.execute(queries()["label_version"], place)).fetchone()
    return row["version"] if row else None


async def _move(
    connection: Connection,
    name: str,
    label: str,
    before: str | None,
    version: str,
    who: str,
    cases: int | None = None,
) -> Move:
    row = {
        "name": name,
        "label": label,
        "from_version": before,
        "version": version,
        "rollback": cases is None,
        "cases": cases or 0,
        "moved_by": who,
    }
    await connection.execute(queries()["move_label"], row)
    moved = await (await connection.execute(queries()["note_move"], row)).fetchone()
    return Move.model_validate(moved)


def _row(prompt: Prompt) -> dict[str, object]:
    return {
        "version": prompt.version,
        "name": prompt.name,
        "content": Jsonb(prompt.content),
        "source": Jsonb({"file": prompt.source, "parts": prompt.shared}),
    }


def _restore(name: str, row: Mapping[str, object]) -> Prompt:
    version, source = str(row["version"]), row["source"]
    if version not in _restored:
        if not isinstance(source, dict):
            raise InputError(
                f"The version {version[:12]} of the prompt {name} was kept without it."
            )
        prompt = parse_prompt(name, source["file"], source["parts"].__getitem__)
        if prompt.version != version:
            raise InputError(
                f"The version {version[:12]} of the prompt {name} filled another reply schema "
                f"({prompt.fills}) than this program has. Promote the present version."
            )
        _restored[version] = prompt
    return _restored[version]
