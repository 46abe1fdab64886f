import asyncio

import numpy as np
import pytest

from tasks.codebook import (
    RARE,
    ROOT,
    Codebook,
    Entry,
    assign,
    load_codebook,
    save_codebook,
)
from tests.tasks.clouds import DIMENSIONS, bare, cloud, content, fact_ids

AXES = np.eye(DIMENSIONS, dtype=np.float32)


def codebook(*themes: Entry, generation: int = 1) -> Codebook:
    entries = [Entry(ROOT, None, "area"), *themes]
    return Codebook(entries, 0.25, 40, 2, len(entries), generation)


def theme(id_: int, axis: int, merged_into: int | None = None) -> Entry:
    return Entry(id_, ROOT, "theme", AXES[axis], 0.3, merged_into, compared=axis > 0)


TWO = codebook(theme(1, 0), theme(2, 1))


def test_a_fact_goes_to_the_nearest_centroid_within_its_radius() -> None:
    angles = np.radians([0, 44, 46, 90])
    vectors = np.outer(np.cos(angles), AXES[0]) + np.outer(np.sin(angles), AXES[1])
    far = AXES[[5]]
    leaves = assign(TWO, fact_ids(5), np.concatenate([vectors, far]).astype(np.float32))
    assert leaves.tolist() == [1, 1, 2, 2, RARE]


def test_each_theme_has_a_radius_of_its_own() -> None:
    wide = codebook(theme(1, 0)._replace(radius=0.9), theme(2, 1))
    tilted = (0.2 * AXES[[0, 1]] + AXES[[5, 6]]) / 1.04**0.5
    assert assign(wide, fact_ids(2), tilted).tolist() == [1, RARE]


def test_the_facts_of_a_merged_theme_go_to_the_one_that_it_went_into() -> None:
    merged = codebook(theme(1, 0), theme(2, 1), theme(3, 2, merged_into=1))
    assert merged.leaves == (1, 2)
    assert assign(merged, fact_ids(3), AXES[:3]).tolist() == [1, 2, 1]


def test_facts_are_assigned_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, vectors = cloud(0, 50, spread=0.2)
    whole = assign(TWO, ids, vectors)
    monkeypatch.setattr("tasks.codebook._BLOCK", 7)
    assert assign(TWO, ids, vectors).tolist() == whole.tolist()
    assert len(set(whole.tolist())) > 1


def test_without_themes_and_without_facts_nothing_is_assigned() -> None:
    assert assign(codebook(), *cloud(0, 3)).tolist() == [RARE] * 3
    assert assign(TWO, [], np.empty((0, DIMENSIONS), np.float32)).tolist() == []
    assert assign(codebook(), [], np.empty((0, 0), np.float32)).tolist() == []


@pytest.mark.usefixtures("database")
async def test_a_stored_codebook_is_the_same_byte_by_byte() -> None:
    area = Entry(4, ROOT, "area")
    split = Entry(5, 4, "theme")
    loose = np.float32(np.float16(1 / 3)) * AXES[4]
    part = Entry(6, 5, "theme", loose, 1 / 3, 1, compared=True, sample=("ab", "cd"), drawn_of=9)
    made = codebook(theme(1, 0), theme(2, 1), theme(3, 2, merged_into=2), area, split, part)
    saved = await save_codebook("lineage", made)
    loaded = await load_codebook("lineage")
    assert saved
    assert loaded
    assert content(saved) == content(made)
    assert content(loaded) == content(made)
    assert (saved.version, loaded.version) == (1, 1)
    assert loaded.fitted_entries == made.fitted_entries


@pytest.mark.usefixtures("database")
async def test_a_lineage_without_codebook_has_none() -> None:
    await save_codebook("another", TWO)
    assert await load_codebook("lineage") is None


@pytest.mark.usefixtures("database")
async def test_of_several_first_codebooks_one_is_stored() -> None:
    rivals = [codebook(theme(1, axis)) for axis in range(6)]
    saved = await asyncio.gather(*(save_codebook("lineage", rival) for rival in rivals))
    [winner] = [each for each in saved if each]
    loaded = await load_codebook("lineage")
    assert loaded
    assert content(loaded) == content(winner)


@pytest.mark.usefixtures("database")
async def test_of_several_changes_to_one_version_one_is_stored() -> None:
    first = await save_codebook("lineage", TWO)
    assert first
    changes = [first.replaced(entries=(*first.entries, theme(3, n))) for n in range(2, 8)]
    saved = await asyncio.gather(*(save_codebook("lineage", change) for change in changes))
    [winner] = [each for each in saved if each]
    loaded = await load_codebook("lineage")
    assert loaded
    assert content(loaded) == content(winner)
    assert loaded.version == 2
    assert await save_codebook("lineage", first.replaced(entries=first.entries[:2])) is None
    assert (await save_codebook("lineage", loaded)) is not None


@pytest.mark.usefixtures("database")
async def test_the_last_generation_stands_and_older_ones_change_no_more() -> None:
    first = await save_codebook("lineage", TWO)
    assert first
    second = codebook(theme(1, 3), generation=2)
    assert await save_codebook("lineage", second)
    assert await save_codebook("lineage", codebook(theme(1, 4), generation=2)) is None
    assert await save_codebook("lineage", first.replaced(entries=first.entries[:2])) is None
    loaded = await load_codebook("lineage")
    assert loaded
    assert [bare(entry) for entry in loaded.entries] == [bare(entry) for entry in second.entries]
