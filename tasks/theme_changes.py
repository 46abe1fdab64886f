"""What has changed between two looks at the themes of a source: counted, and told from chance.

Every theme of either look is new, grown, shrunk, vanished or unchanged. New is one that was not
known then, vanished one that has no tickets now. Grown and shrunk are those whose share of the
tickets has changed by more than chance: a permutation test (Fisher 1935) deals the theme's tickets
out at random among all that stayed, left and came. Of the themes that it calls changed, at most one
in twenty is expected not to be (Benjamini and Hochberg 1995), however many there are.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

Verdict = Literal["new", "grown", "shrunk", "vanished", "unchanged"]
Fates = tuple[int, int, int]  # how many stayed, left and came

_NONE = frozenset[str]()
_FALSE = 0.05  # most of the changes that are expected to be none
_DEALS = 9999  # of a theme's tickets; a p-value is then a whole number of ten-thousandths


class Look(NamedTuple):
    """Ids of all tickets, and of those of each theme. A theme without tickets is none."""

    tickets: frozenset[str]
    themes: Mapping[str, frozenset[str]]


class Change(NamedTuple):
    """A theme's tickets before and now; ``came``: those of now that were not in it then."""

    theme: str
    verdict: Verdict
    before: int
    now: int
    came: int


def compare(then: Look, now: Look, known: Collection[str]) -> list[Change]:
    """Every theme of both looks, once. ``known``: themes that there were then, with tickets or not.

    The same theme has the same name in both. Whether one has shrunk is looked at among the tickets
    that are under nothing new or grown: a flood of one problem makes no other one smaller.
    """
    names = sorted(then.themes.keys() | now.themes.keys())
    new = {name for name in names if name not in then.themes and name not in known}
    there = [name for name in names if name in now.themes and name not in new]
    came = {name: now.themes.get(name, _NONE) - then.themes.get(name, _NONE) for name in names}
    grown = {name for name in _moved(then, now, there, 1) if came[name]}
    others = [name for name in there if name not in grown]
    gone = new | grown
    shrunk = _moved(_without(then, gone), _without(now, gone), others, -1)

    def verdict(name: str) -> Verdict:
        if name not in now.themes:
            return "vanished"
        if name in new:
            return "new"
        return "grown" if name in grown else "shrunk" if name in shrunk else "unchanged"

    def size(look: Look, name: str) -> int:
        return len(look.themes.get(name, _NONE))

    return [
        Change(name, verdict(name), size(then, name), size(now, name), len(came[name]))
        for name in names
    ]


def by_chance(fates: Fates, of_theme: Fates) -> float:
    """How often a theme's share of the tickets changes at least so much when its tickets are dealt
    out at random: the p-value of its change. ``fates`` of all tickets, and of the theme's."""
    import numpy as np

    stayed, left, came = fates
    before, now = stayed + left, stayed + came
    if not before or not now:
        return 1.0
    weights = np.array([1 / now - 1 / before, -1 / before, 1 / now])
    deals = np.random.default_rng(0).multivariate_hypergeometric(
        fates, sum(of_theme), size=_DEALS, method="marginals"
    )
    found = abs(float(weights @ of_theme))
    as_much = int((np.abs(deals @ weights) >= found - 1e-12).sum())
    return (as_much + 1) / (_DEALS + 1)


def _moved(then: Look, now: Look, names: Sequence[str], sign: Literal[1, -1]) -> set[str]:
    """Those of the themes whose share has changed beyond chance, and in that direction."""
    from scipy.stats import false_discovery_control

    if not names:
        return set()
    fates, of_theme = _fates(then, now, names)
    stayed, left, came = fates
    p_values = false_discovery_control([by_chance(fates, of_theme[name]) for name in names])
    return {
        name
        for name, p in zip(names, p_values, strict=True)
        for same, lost, won in [of_theme[name]]
        if p <= _FALSE
        and sign * ((same + won) * (stayed + left) - (same + lost) * (stayed + came)) > 0
    }


def _without(look: Look, names: Collection[str]) -> Look:
    """The look without the tickets that are under these themes."""
    gone = _NONE.union(*(look.themes.get(name, _NONE) for name in names))
    themes = {name: own - gone for name, own in look.themes.items() if name not in names}
    return Look(look.tickets - gone, themes)


def _fates(then: Look, now: Look, names: Sequence[str]) -> tuple[Fates, dict[str, Fates]]:
    """How many tickets stayed, left and came, in all and of each theme. One that is under other
    themes now has left, and come anew."""
    before, after = _placed(then), _placed(now)
    stayed = {ticket for ticket, themes in before.items() if after.get(ticket) == themes}
    of_theme = {
        name: (same, len(some) - same, len(others) - same)
        for name in names
        for some, others in [(then.themes.get(name, _NONE), now.themes[name])]
        for same in [len(some & others & stayed)]
    }
    return (len(stayed), len(before) - len(stayed), len(after) - len(stayed)), of_theme


def _placed(look: Look) -> dict[str, list[str]]:
    """The themes of each ticket."""
    places: dict[str, list[str]] = {ticket: [] for ticket in look.tickets}
    for name in sorted(look.themes):
        for ticket in look.themes[name]:
            places[ticket].append(name)
    return places
