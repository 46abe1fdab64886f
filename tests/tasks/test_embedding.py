import numpy as np
import pytest

from infra.embeddings import embed
from tasks import embedding
from tasks.embedding import vectors

pytestmark = pytest.mark.usefixtures("database")


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
    assert again.dtype == np.float32
    assert (again == before[::-1]).all()


async def test_no_texts_have_no_vectors() -> None:
    assert (await vectors([])).shape == (0, 0)
