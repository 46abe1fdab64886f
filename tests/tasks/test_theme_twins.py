"""Which theme of now is which of then."""

import numpy as np

from tasks.codebook import ROOT, Codebook, Entry
from tasks.theme_twins import twins

ROOT_ENTRY = Entry(ROOT, None, "area")


def book(*themes: Entry, generation: int = 1) -> Codebook:
    return Codebook([ROOT_ENTRY, *themes], 0.3, 9, 0, len(themes) + 1, generation)


def theme(id_: int, *at: float, radius: float = 0.3, merged_into: int | None = None) -> Entry:
    place = np.array(at, np.float32)
    centroid = place / np.linalg.norm(place)
    return Entry(id_, ROOT, "theme", centroid, radius, merged_into)


def test_in_one_codebook_a_theme_is_itself_or_what_it_was_merged_into() -> None:
    then = book(theme(1, 1, 0), theme(2, 0, 1), theme(3, 0.1, 1, merged_into=2))
    assert twins(then, 4, then, {1, 2}) == {1: 1, 2: 2, 3: 2}


def test_a_theme_that_another_run_merged_just_now_is_still_itself_where_it_has_tickets() -> None:
    then = book(theme(1, 1, 0), theme(2, 0.9, 0.1, merged_into=1))
    assert twins(then, 3, then, {1, 2}) == {1: 1, 2: 2}


def test_a_theme_that_was_not_there_then_has_no_twin() -> None:
    now = book(theme(1, 1, 0), theme(2, 0, 1))
    assert twins(now, 2, now, {1, 2}) == {1: 1}
    assert twins(None, 3, now, {1, 2}) == {}


def test_themes_that_were_found_anew_are_matched_by_the_nearest_centroid_each_once() -> None:
    then = book(theme(1, 1, 0, 0), theme(2, 0, 1, 0), theme(3, 0, 0.1, 1))
    now = book(
        theme(1, 0.05, 1, 0),  # 2, a little aside
        theme(2, 0.2, 1, 0),  # 2 as well, but farther
        theme(3, 1, 0.05, 0),  # 1
        theme(4, -1, -1, -1),  # near to none
        generation=2,
    )
    assert twins(then, 4, now, {1, 2, 3, 4}) == {1: 3, 2: 1}


def test_a_theme_that_was_merged_before_the_new_fit_has_its_owners_twin() -> None:
    then = book(theme(1, 1, 0), theme(2, 0, 1), theme(3, 0.2, 1, merged_into=2))
    now = book(theme(1, 0, 1), theme(2, 1, 0), generation=2)
    assert twins(then, 4, now, {1, 2}) == {1: 2, 2: 1, 3: 1}
    assert twins(then, 4, book(generation=2), set()) == {}
