"""Who of the specialists serves, and what they say.

One that serves was promoted, and not rolled back; where its files are gone or were altered, the one
before it serves, and that is said.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from infra.encoders import Encoder
from infra.errors import AssetError, InputError
from infra.fine_tuning import load_classifier
from infra.postgres import alone, fetch
from tasks.confidence import Scope
from tasks.specialists import (
    SCOPE,
    Specialist,
    damage,
    read_specialist,
    require_files,
    specialists,
)
from tasks.suggestions import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOADED = 4  # models of this process


class Promotion(BaseModel):
    """That a specialist began to serve, or the one before it does again."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Literal["promote", "rollback"]
    specialist: int
    actor: str
    review: int | None
    happened_at: datetime


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


async def whole(numbers: Sequence[int]) -> tuple[Specialist | None, str]:
    """The first of these whose files are the registered ones; and a word on each before it."""
    said = list[str]()
    for number in numbers:
        found = await read_specialist(number)
        if not (word := await asyncio.to_thread(damage, found)):
            return found, " ".join(said)
        said.append(word)
    return None, " ".join(said)


async def promoted(specialist: Specialist, actor: str, review: int | None) -> None:
    """Let a specialist serve; once for a review."""
    await _decided("promote", specialist, actor, review)


async def promoted_after(
    before: int | None, specialist: Specialist, actor: str, review: int
) -> None:
    """Let a specialist serve in the place of the one that does, by its number, or of nobody; once
    for a review. Raises InputError where another serves by now."""
    async with alone(f"who serves {specialist.name}"):
        if any(each.review == review for each in await promotions(specialist.name)):
            return
        now = next(iter(await served(specialist.name)), None)
        if now != before:
            raise InputError(
                f"Specialist {specialist.id} was approved in the place of {_named(before)}, and "
                f"{_named(now)} serves {specialist.name} by now. Hold it against that one: "
                f"`patterns specialist promote {specialist.id}`."
            )
        await promoted(specialist, actor, review)


async def rolled_back(name: str, actor: str) -> tuple[Specialist, str]:
    """Let the one before serve again, who is given back; with a word on each that would have, were
    its files whole. Raises InputError where nobody served before, AssetError where none is whole.
    """
    name = await known_name(name)
    async with alone(f"who serves {name}"):
        numbers = await served(name)
        if len(numbers) < 2:
            raise InputError(f"No specialist for {name} served before this one.")
        found, said = await whole(numbers[1:])
        if found is None:
            raise AssetError(f"{said} Nobody else served before. Train and promote another.")
        for number in numbers[: numbers.index(found.id)]:
            await _decided("rollback", await read_specialist(number), actor, None)
    return found, said


def _named(number: int | None) -> str:
    return "nobody" if number is None else f"specialist {number}"


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
