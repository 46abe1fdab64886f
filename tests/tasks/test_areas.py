from collections import Counter

import numpy as np

from tasks.areas import hung, under_areas
from tasks.codebook import ROOT, Entry
from tests.tasks.clouds import DIMENSIONS, bare, cloud, units

AXES = np.eye(DIMENSIONS, dtype=np.float32)


def themes(vectors: np.ndarray) -> list[Entry]:
    return [Entry(n, None, "theme", row, 0.2) for n, row in enumerate(vectors, 1)]


def children(entries: list[Entry]) -> Counter[int | None]:
    return Counter(entry.parent for entry in entries if entry.id != ROOT)


def test_few_themes_are_under_the_root_at_once() -> None:
    entries = under_areas(themes(AXES[:12]))
    assert children(entries) == {ROOT: 12}


def test_many_themes_are_joined_with_those_that_are_near() -> None:
    spots = np.concatenate([cloud(axis, 5, 0.05)[1] for axis in range(5)])
    entries = under_areas(themes(spots))
    assert children(entries) == {ROOT: 5, 26: 5, 27: 5, 28: 5, 29: 5, 30: 5}
    for first in range(1, 26, 5):
        assert len({entry.parent for entry in entries[first : first + 5]}) == 1


def test_a_node_has_at_most_twelve_children_however_many_themes_there_are() -> None:
    vectors = units(np.random.default_rng(0).normal(size=(700, DIMENSIONS)))
    entries = under_areas(themes(vectors))
    assert max(children(entries).values()) <= 12
    assert [entry.id for entry in entries] == list(range(len(entries)))
    parents = {entry.id: entry.parent for entry in entries}
    for node in parents:
        steps = 0
        while parents[node] is not None:
            node, steps = parents[node], steps + 1
        assert node == ROOT
        assert steps < 8


def test_equal_themes_find_their_areas_too() -> None:
    entries = under_areas(themes(np.repeat(AXES[:1], 40, axis=0)))
    assert max(children(entries).values()) <= 12


def test_parts_stay_under_their_theme() -> None:
    split = Entry(13, None, "theme")
    parts = [Entry(14, 13, "theme", AXES[12], 0.2), Entry(15, 13, "theme", AXES[13], 0.2)]
    entries = under_areas([*themes(AXES[:12]), split, *parts])
    assert [entries[14].parent, entries[15].parent] == [13, 13]
    assert entries[13].parent is not None
    assert entries[entries[13].parent].kind == "area"


def test_without_themes_there_is_the_root() -> None:
    assert under_areas([]) == [Entry(ROOT, None, "area")]


def test_a_new_theme_goes_under_the_nearest_area_that_has_room() -> None:
    spots = np.concatenate([cloud(axis, 5, 0.05)[1] for axis in range(5)])
    entries = under_areas(themes(spots))
    near = entries[1].parent
    for count in range(8):
        entries = hung(entries, [Entry(0, None, "theme", AXES[0], 0.2)])
        assert entries[-1].parent == (near if count < 7 else entries[-1].parent)
    assert children(entries)[near] == 12
    assert entries[-1].parent not in (near, ROOT)


def test_the_root_takes_new_themes_when_it_is_the_only_area() -> None:
    entries = hung(under_areas(themes(AXES[:2])), themes(AXES[2:12]))
    assert children(entries) == {ROOT: 12}
    assert [entry.id for entry in entries] == list(range(13))
    assert [bare(entry)[-1] for entry in entries[1:]] == [axis.tobytes() for axis in AXES[:12]]


def test_in_a_full_tree_a_new_area_takes_the_place_of_the_nearest_theme() -> None:
    full = under_areas(themes(AXES[:12]))
    near = units(AXES[4:5] + 0.1 * AXES[20:21])[0]
    entries = hung(full, [Entry(0, None, "theme", near, 0.2)])
    area, new = entries[13:]
    assert (area.kind, area.parent) == ("area", ROOT)
    assert (new.parent, entries[5].parent) == (area.id, area.id)
    assert children(entries) == {ROOT: 12, area.id: 2}


def test_where_all_areas_are_full_the_new_area_is_at_the_lowest_level() -> None:
    areas = [Entry(n, ROOT, "area") for n in range(1, 13)]
    spots = np.concatenate([cloud(axis, 12)[1] for axis in range(12)])
    leaves = [Entry(13 + n, 1 + n // 12, "theme", row, 0.2) for n, row in enumerate(spots)]
    middle = units(spots[36:48].mean(axis=0)[None])[0]
    entries = hung([Entry(ROOT, None, "area"), *areas, *leaves], [Entry(0, None, "theme", middle)])
    area, new = entries[157:]
    assert (area.parent, new.parent) == (4, area.id)
    assert children(entries)[area.id] == 2
    assert children(entries)[4] == 12


def test_several_new_themes_go_where_they_would_go_one_after_the_other() -> None:
    areas = [Entry(n, ROOT, "area") for n in (1, 2)]
    spots = np.repeat(AXES[:2], 3, axis=0)
    leaves = [Entry(3 + n, 1 + n // 3, "theme", row, 0.2) for n, row in enumerate(spots)]
    entries = [Entry(ROOT, None, "area"), *areas, *leaves]
    first, second = (
        units(AXES[[2]] + lean * AXES[[axis]])[0] for axis, lean in ((0, 0.2), (1, 0.05))
    )
    new = [Entry(0, None, "theme", row, 0.2) for row in (first, second)]
    at_once, apart = hung(entries, new), hung(hung(entries, new[:1]), new[1:])
    assert [bare(entry) for entry in at_once] == [bare(entry) for entry in apart]
    assert at_once[-1].parent == at_once[-2].parent == 1
