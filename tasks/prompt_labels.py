"""Labels of prompt versions, such as production, moved only to a version that passes its cases.

Files decide in development; where PATTERNS_PROMPT_LABEL is set, a label does. A version is kept
whole, so the one that a label names can be served when the files have gone on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

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
    return _Labelled(await fetch("labelled_versions", {"label": label}))


async def find_version(name: str, reference: str) -> Prompt:
    """The version of a prompt that a label, or the beginning of a version, names.

    Raises InputError when there is none, or several, or when it cannot be made again.
    """
    rows = await _versions(name, reference)
    if not rows:
        raise InputError(f"No version of the prompt {name} is kept as {reference!r}.")
    return _only(name, reference, rows)


async def earlier_version(name: str, reference: str) -> Prompt:
    """A version by its label or the beginning of its hash, else the file's at a Git revision, which
    fills the reply schema of today.

    Raises InputError when it is none of them.
    """
    if rows := await _versions(name, reference):
        return _only(name, reference, rows)
    folder = Path(str(files("tasks.prompts")))
    try:
        source = file_at(reference, folder / f"{name}.md")
    except InputError as error:
        raise InputError(
            f"No version of the prompt {name} is kept as {reference!r}. Nor is it a Git revision: "
            f"{error}"
        ) from None
    parts = folder / "parts"
    return parse_prompt(
        name, source, lambda part: file_at(reference, parts / f"{part}.md").strip() + "\n"
    )


async def keep_version(prompt: Prompt) -> None:
    """Keep a version whole."""
    await fetch("keep_prompt_version", _row(prompt))


async def promote(prompt: Prompt, label: str, who: str, cases: int) -> Move:
    """Make a label name this version, of which so many cases have passed. A label that names it
    already does not move: what it named before stays the way back."""
    async with transaction() as connection:
        await connection.execute(queries()["keep_prompt_version"], _row(prompt))
        moves = await _locked_history(connection, prompt.name, label)
        if moves and moves[-1].to_version == prompt.version:
            return moves[-1]
        return await _move(connection, prompt.name, label, moves, prompt.version, who, cases=cases)


async def roll_back(name: str, label: str, who: str) -> Move:
    """Make a label name the version again that it named before the present one was promoted.

    Raises InputError when there is none, or when it cannot be made again.
    """
    async with transaction() as connection:
        moves = await _locked_history(connection, name, label)
        named: list[str] = []
        for move in moves:
            if move.rollback:
                named.pop()
            else:
                named.append(move.to_version)
        if len(named) < 2:
            raise InputError(f"{label} named no version of the prompt {name} before this one.")
        await find_version(name, named[-2])
        return await _move(connection, name, label, moves, named[-2], who)


async def history(name: str) -> list[Move]:
    """All moves of a prompt's labels, the newest last."""
    return [Move(**row) for row in await fetch("label_history", {"name": name})]


async def _locked_history(connection: Connection, name: str, label: str) -> list[Move]:
    """The moves of a label, which nobody else moves before this transaction ends."""
    await connection.execute(queries()["lock_label"], {"name": name, "label": label})
    cursor = await connection.execute(queries()["label_history"], {"name": name})
    moves = [Move.model_validate(row) for row in await cursor.fetchall()]
    return [move for move in moves if move.label == label]


async def _move(
    connection: Connection,
    name: str,
    label: str,
    moves: list[Move],
    version: str,
    who: str,
    cases: int | None = None,
) -> Move:
    row = {
        "name": name,
        "label": label,
        "from_version": moves[-1].to_version if moves else None,
        "version": version,
        "rollback": cases is None,
        "cases": cases or 0,
        "moved_by": who,
    }
    await connection.execute(queries()["move_label"], row)
    moved = await (await connection.execute(queries()["note_move"], row)).fetchone()
    return Move.model_validate(moved)


class _Labelled(Mapping[str, Prompt]):
    """Labelled versions by prompt, each made when it is asked for: one that cannot be made any more
    stops nobody who does not use it."""

    def __init__(self, rows: Iterable[Mapping[str, object]]) -> None:
        self._rows = {str(row["name"]): row for row in rows}

    def __getitem__(self, name: str) -> Prompt:
        return _restore(name, self._rows[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


async def _versions(name: str, reference: str) -> list[dict[str, Any]]:
    return await fetch("find_versions", {"name": name, "reference": reference})


def _only(name: str, reference: str, rows: Sequence[Mapping[str, object]]) -> Prompt:
    if len(rows) > 1:
        found = ", ".join(str(row["version"])[:12] for row in rows)
        raise InputError(f"{reference!r} names several versions of the prompt {name}: {found}.")
    return _restore(name, rows[0])


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
                f"The version {version[:12]} of the prompt {name} was kept without its source."
            )
        prompt = parse_prompt(name, source["file"], source["parts"].__getitem__)
        if prompt.version != version:
            raise InputError(
                f"The version {version[:12]} of the prompt {name} filled another reply schema "
                f"({prompt.fills}) than this program has. Promote the present version."
            )
        _restored[version] = prompt
    return _restored[version]
