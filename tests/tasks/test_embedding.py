from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from infra.embeddings import embed
from infra.errors import SettingsError
from infra.postgres import transaction
from tasks import embedding
from tasks.embedding import vectors

pytestmark = pytest.mark.usefixtures("database")


async def _counted() -> list[dict[str, Any]]:
    async with transaction() as connection:
        found = await connection.execute("select count(*) as n from patterns.embeddings")
        return await found.fetchall()


async def test_vectors_stand_where_their_texts_do_whatever_is_kept_or_said_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedding, "_READ_BLOCK", 2)
    monkeypatch.setattr(embedding, "_BLOCK", 2)
    texts = ["late", "gone", "late", "dear", "gone", "loud", "slow", "late"]
    expected = await embed(texts)
    assert (await vectors(texts[3:6]) == expected[3:6]).all()
    assert (await vectors(texts) == expected).all()


async def test_what_is_kept_is_not_embedded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = await vectors(["late", "gone"])
    monkeypatch.setattr(embedding, "embed", None)
    again = await vectors(["gone", "late"])
    assert again.dtype == np.float16
    assert (again == before[::-1]).all()


async def test_vectors_of_another_length_are_refused_and_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def of(length: int, texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), length), 0.5, np.float32)

    monkeypatch.setattr(embedding, "embed", partial(of, 8))
    await vectors(["late"])
    monkeypatch.setattr(embedding, "embed", partial(of, 16))
    with pytest.raises(SettingsError, match="8 and 16 numbers"):
        await vectors(["late", "gone"])
    assert [row["n"] for row in await _counted()] == [1]


async def test_no_texts_have_no_vectors() -> None:
    assert (await vectors([])).shape == (0, 0)
