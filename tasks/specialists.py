"""The registry of specialists: what each is, and who of a name serves.

A specialist is a row in PostgreSQL and a folder of files, whose hashes stand in the row. The files
are there before the row is: there is never half a specialist. One that serves was promoted, and not
rolled back; where its files are gone or were altered, the one before it serves, and that is said.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from infra.encoders import Encoder
from infra.errors import AssetError, InputError
from infra.fine_tuning import Recipe, load_classifier
from infra.postgres import Jsonb, fetch, transaction
from infra.settings import get_settings
from infra.sql import queries
from infra.storage import private_directory, writing
from tasks.calibration import Threshold
from tasks.confidence import Confidence, Scope
from tasks.labelled_texts import Example, Part
from tasks.specialist_figures import Figures
from tasks.suggestions import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = "examples.parquet"  # what it was trained and measured on, in its folder
SCOPE = "scope.npz"  # where the texts that it has learned from lie
NONE = "none"  # such a label, where the data had none of their own
_LOADED = 4  # models of this process


class Card(BaseModel):
    """What there is to know of a specialist besides its model.

    ``outside``: the label of texts that none of its labels fits, None where its data had none;
    ``target``: the accuracy that its threshold is to reach; ``parts``: how many texts each had;
    ``epochs``: that it learned for; ``minutes``: that it took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]
    outside: str | None
    encoder: str
    recipe: Recipe
    confidence: Confidence
    target: float
    threshold: Threshold
    parts: dict[Part, int]
    notes: tuple[str, ...]
    epochs: int
    device: str
    minutes: float
    figures: Figures


class Specialist(BaseModel):
    """A specialist as it is registered."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    root_run: UUID
    source: str
    data_sha256: str
    code: str
    card: Card
    files: dict[str, str]
    made_at: datetime

    @property
    def none(self) -> str:
        """The label of texts that none of its labels fits."""
        return self.card.outside or NONE

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return _root() / str(self.id)


class Promotion(BaseModel):
    """That a specialist began to serve, or the one before it does again."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["promote", "rollback"]
    specialist: int
    actor: str
    review: int | None
    happened_at: datetime


async def register(
    name: str,
    root_run: UUID,
    source: str,
    data_sha256: str,
    card: Card,
    model: Path,
    scope: Scope,
    parts: dict[Part, tuple[Example, ...]],
) -> Specialist:
    """Keep a specialist that was trained by a run; once for a run. ``model``: folder that
    `infra.fine_tuning` has made. Raises StorageError."""
    staging = private_directory(_root()) / f".{root_run}"
    await asyncio.to_thread(_stage, staging, model, scope, parts)
    files = {each.name: _sha256(each) for each in sorted(staging.iterdir())}
    row = {
        **{"name": name, "root_run": root_run, "source": source, "data_sha256": data_sha256},
        **{"code": version("llm-pattern-flows"), "card": Jsonb(card.model_dump(mode="json"))},
        "files": Jsonb(files),
    }
    async with transaction() as connection:
        kept = await (await connection.execute(queries()["keep_specialist"], row)).fetchone()
        assert kept
        folder = _root() / str(kept["id"])
        with writing(_root()):
            shutil.rmtree(folder, ignore_errors=True)  # of a number that came to nothing
            staging.rename(folder)
    return await read_specialist(kept["id"])


async def specialists(name: str | None = None) -> list[Specialist]:
    """All of them, or those of a name, the newest first."""
    rows = await fetch("specialists", {"name": name, "id": None, "root_run": None})
    return [Specialist.model_validate(row) for row in rows]


async def trained_by(root_run: UUID) -> Specialist | None:
    """The specialist that a run has trained, if it did already."""
    rows = await fetch("specialists", {"name": None, "id": None, "root_run": root_run})
    return Specialist.model_validate(rows[0]) if rows else None


async def read_specialist(number: int) -> Specialist:
    """One of them. Raises InputError for a number that none has."""
    rows = await fetch("specialists", {"name": None, "id": number, "root_run": None})
    if not rows:
        raise InputError(f"There is no specialist {number}. `patterns specialist list` has them.")
    return Specialist.model_validate(rows[0])


async def promotions(name: str | None = None) -> list[Promotion]:
    """What was decided on who serves, in order."""
    return [Promotion.model_validate(row) for row in await fetch("promotions", {"name": name})]


async def served(name: str) -> list[int]:
    """The numbers of who serves, and of those before him who serve once he is rolled back; the
    champion first."""
    found = list[int]()
    for each in await promotions(name):
        if each.kind == "promote":
            found.append(each.specialist)
        elif found:
            found.pop()
    return found[::-1]


async def served_names() -> tuple[str, ...]:
    """The names of which somebody serves."""
    names = sorted({each.name for each in await promotions()})
    return tuple([name for name in names if await served(name)])


async def champion(name: str) -> Specialist | None:
    """Who serves; None before anybody was promoted."""
    numbers = await served(name)
    return await read_specialist(numbers[0]) if numbers else None


async def promoted(specialist: Specialist, actor: str, review: int | None) -> None:
    """Let a specialist serve; once for a review."""
    await _decided("promote", specialist, actor, review)


async def rolled_back(name: str, actor: str) -> Specialist:
    """Let the one before serve again, who is given back. Raises InputError without one."""
    numbers = await served(await known_name(name))
    if len(numbers) < 2:
        raise InputError(f"No specialist for {name} served before this one.")
    await _decided("rollback", await read_specialist(numbers[0]), actor, None)
    return await read_specialist(numbers[1])


async def known_name(name: str | None) -> str:
    """A name that specialists have: the given one, or the only one there is.

    Raises InputError without one, or with several to choose from.
    """
    names = sorted({each.name for each in await specialists()})
    if not names:
        raise InputError("There is no specialist yet. `patterns specialist train` makes one.")
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise InputError(f"There are specialists for {', '.join(names)}. Say which with --name.")
    if name not in names:
        raise InputError(
            f"There is no specialist for {name}.{did_you_mean(name, names)} There are some for: "
            f"{', '.join(names)}."
        )
    return name


async def serving(name: str | None = None, number: int | None = None) -> tuple[Specialist, str]:
    """Who answers: the one of a number, else the champion of a name; and, where his files are not
    what was registered and the one before him answers, a word on that.

    Raises InputError where nobody was promoted, AssetError where none has his files.
    """
    if number is not None:
        found = await read_specialist(number)
        await _model(found)
        return found, ""
    name = await known_name(name)
    said = list[str]()
    for each in await served(name):
        found = await read_specialist(each)
        try:
            await _model(found)
        except AssetError as error:
            said.append(str(error))
            continue
        return found, f"{' '.join(said)} Specialist {each} serves in its place." if said else ""
    if said:
        raise AssetError(f"{' '.join(said)} Nobody is left to serve. Train and promote another.")
    raise InputError(
        f"No specialist for {name} serves. `patterns specialist promote ID` lets one, and "
        "--specialist ID asks one that does not."
    )


async def answers(
    specialist: Specialist, texts: Sequence[str]
) -> "tuple[NDArray[Any], NDArray[Any]]":
    """Logits (n, labels) of texts, one or more, and how sure it is of each likeliest label (n).

    Raises AssetError where the files are not the registered ones.
    """
    encoder, scope = await _model(specialist)
    [logits, vectors] = await encoder.read(texts)
    return logits, specialist.card.confidence.of(logits, scope.distances(vectors))


def require_files(specialist: Specialist) -> None:
    """Raise AssetError naming a file that is gone, or is not the one that was registered."""
    for name, expected in specialist.files.items():
        file = specialist.folder / name
        if not file.is_file():
            raise AssetError(f"Specialist {specialist.id} lacks its file {file}.")
        if _sha256(file) != expected:
            raise AssetError(
                f"{file} of specialist {specialist.id} was altered: its SHA-256 is no longer the "
                "registered one."
            )


async def _decided(kind: str, specialist: Specialist, actor: str, review: int | None) -> None:
    row = {"name": specialist.name, "kind": kind, "specialist": specialist.id}
    await fetch("promote", {**row, "actor": actor, "review": review})


async def _model(specialist: Specialist) -> tuple[Encoder, Scope]:
    return await asyncio.to_thread(_loaded, specialist.folder, specialist.model_dump_json())


@lru_cache(maxsize=_LOADED)
def _loaded(folder: Path, told: str) -> tuple[Encoder, Scope]:
    """The model, its files checked when it is loaded."""
    specialist = Specialist.model_validate_json(told)
    require_files(specialist)
    encoder = load_classifier(folder, specialist.card.recipe.most_tokens)
    return encoder, Scope.load(folder / SCOPE)


def _stage(
    staging: Path, model: Path, scope: Scope, parts: dict[Part, tuple[Example, ...]]
) -> None:
    import pandas as pd

    rows = [{**vars(each), "part": part} for part, examples in parts.items() for each in examples]
    with writing(staging.parent):
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(model, staging)
        scope.save(staging / SCOPE)
        pd.DataFrame(rows).to_parquet(staging / EXAMPLES)


def read_examples(specialist: Specialist) -> dict[Part, tuple[Example, ...]]:
    """What a specialist was trained and measured on, by part. Raises AssetError as `answers`."""
    import pandas as pd

    require_files(specialist)
    table = pd.read_parquet(specialist.folder / EXAMPLES)
    found: dict[Part, list[Example]] = {}
    for row in table.to_dict("records"):
        part = row.pop("part")
        found.setdefault(part, []).append(Example(**{str(k): v for k, v in row.items()}))
    return {part: tuple(each) for part, each in found.items()}


def _root() -> Path:
    return get_settings().home / "specialists"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
