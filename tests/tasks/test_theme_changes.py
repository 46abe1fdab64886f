"""What has changed between two looks at themes."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from tasks.theme_changes import Look, by_chance, compare

NAMES = ("F1", "F2", "F3", "F4", "old F2")


@st.composite
def looks(draw: st.DrawFn) -> Look:
    """Tickets under no theme, one or several."""
    tickets = draw(st.frozensets(st.integers(0, 40).map("T{}".format)))
    themes = {}
    for name in draw(st.frozensets(st.sampled_from(NAMES))):
        if own := draw(st.frozensets(st.sampled_from(sorted(tickets)))) if tickets else None:
            themes[name] = own
    return Look(tickets, themes)


def look(**counts: int) -> Look:
    """So many tickets of each theme; those of a theme are always numbered from 1. ``none``: of no
    theme."""
    themes = {
        name: frozenset(f"{name}/{n}" for n in range(count)) for name, count in counts.items()
    }
    tickets = frozenset[str]().union(*themes.values())
    return Look(tickets, {name: own for name, own in themes.items() if own and name != "none"})


def verdicts(then: Look, now: Look, known: frozenset[str] = frozenset()) -> dict[str, str]:
    return {change.theme: change.verdict for change in compare(then, now, known)}


@settings(max_examples=60)
@given(looks(), looks(), st.frozensets(st.sampled_from(NAMES)))
def test_every_theme_of_both_looks_is_in_exactly_one_class_and_the_counts_are_its_tickets(
    then: Look, now: Look, known: frozenset[str]
) -> None:
    changes = compare(then, now, known)
    assert Counter(c.theme for c in changes) == Counter({*then.themes, *now.themes})
    for theme, verdict, before, after, came in changes:
        was, is_ = then.themes.get(theme, frozenset()), now.themes.get(theme, frozenset())
        assert (before, after, came) == (len(was), len(is_), len(is_ - was))
        assert before - len(was - is_) + came == after
        assert (verdict == "vanished") == (after == 0)
        assert (verdict == "new") == (after > 0 and before == 0 and theme not in known)
        if verdict == "grown":
            assert came
            assert after * len(then.tickets) > before * len(now.tickets)
        if verdict == "shrunk":
            assert before


@settings(max_examples=40)
@given(looks())
def test_what_is_as_it_was_is_unchanged(then: Look) -> None:
    assert set(verdicts(then, then).values()) <= {"unchanged"}


def test_at_first_every_theme_is_new() -> None:
    assert verdicts(look(), look(F1=3, F2=1)) == {"F1": "new", "F2": "new"}


def test_a_theme_has_grown_when_it_takes_a_larger_share_of_what_came() -> None:
    then = look(F1=10, F2=60, F3=30)
    assert verdicts(then, look(F1=30, F2=70, F3=35)) == {
        "F1": "grown",
        "F2": "unchanged",
        "F3": "unchanged",
    }


def test_a_flood_of_one_problem_makes_no_other_one_smaller() -> None:
    found = verdicts(look(F1=10, F2=60, F3=30), look(F1=400, F2=70, F3=35, F4=90))
    assert found == {"F1": "grown", "F2": "unchanged", "F3": "unchanged", "F4": "new"}


def test_a_corpus_that_grows_evenly_changes_no_theme_however_much_comes() -> None:
    then, now = look(F1=100, F2=300), look(F1=200, F2=600)
    assert set(verdicts(then, now).values()) == {"unchanged"}


def test_a_theme_of_which_nothing_comes_any_more_shrinks_though_it_loses_no_ticket() -> None:
    found = verdicts(look(F1=20, F2=80), look(F1=20, F2=160, F3=20))
    assert found == {"F1": "shrunk", "F2": "unchanged", "F3": "new"}


def test_a_theme_whose_tickets_are_deleted_shrinks_and_no_other_grows_by_it() -> None:
    found = verdicts(look(F1=40, F2=40, F3=20), look(F1=5, F2=40, F3=20))
    assert found == {"F1": "shrunk", "F2": "unchanged", "F3": "unchanged"}


def test_a_theme_that_comes_back_is_not_new() -> None:
    then, now = look(F2=50), look(F2=50, F1=20)
    assert verdicts(then, now)["F1"] == "new"
    assert verdicts(then, now, frozenset({"F1"}))["F1"] == "grown"
    assert verdicts(then, look(F2=60, F1=1), frozenset({"F1"}))["F1"] == "unchanged"


def test_tickets_that_moved_from_one_theme_to_another_are_seen() -> None:
    tickets = frozenset(f"T{n}" for n in range(60))
    moved = frozenset(f"T{n}" for n in range(20))
    then = Look(tickets, {"F1": moved, "F2": tickets - moved})
    now = Look(tickets, {"F2": tickets})
    assert {c.theme: (c.verdict, c.came) for c in compare(then, now, ())} == {
        "F1": ("vanished", 0),
        "F2": ("grown", 20),
    }


def test_of_many_themes_that_stay_as_they_are_few_are_called_changed() -> None:
    """A thousand tickets came, dealt out by chance: one theme in twenty would look changed."""
    import numpy as np

    called = 0
    for seed in range(4):
        shares = np.random.default_rng(seed).multinomial(1000, [1 / 50] * 50, size=2)
        then = look(**{f"F{n}": int(count) for n, count in enumerate(shares[0])})
        now = look(**{f"F{n}": int(sum(counts)) for n, counts in enumerate(shares.T)})
        called += sum(verdict != "unchanged" for verdict in verdicts(then, now).values())
    assert called <= 2


@pytest.mark.parametrize(
    ("fates", "of_theme"),
    [
        ((52, 0, 52), (10, 0, 1)),  # nothing left: those before against those that came
        ((100, 0, 20), (5, 0, 4)),
        ((60, 40, 0), (20, 3, 0)),  # nothing came: those that stayed against those that left
        ((0, 50, 80), (0, 9, 30)),  # nothing stayed: then against now
    ],
)
def test_chance_is_fishers_where_two_groups_are_compared(
    fates: tuple[int, int, int], of_theme: tuple[int, int, int]
) -> None:
    groups = [(own, all_ - own) for own, all_ in zip(of_theme, fates, strict=True) if all_]
    exact = fisher_exact(groups).pvalue
    assert by_chance(fates, of_theme) == pytest.approx(exact, abs=0.02)


def test_nothing_is_told_from_no_tickets() -> None:
    assert by_chance((0, 0, 30), (0, 0, 20)) == 1.0
    assert by_chance((0, 30, 0), (0, 20, 0)) == 1.0
