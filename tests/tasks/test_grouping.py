import json
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import psycopg
import pytest

from infra import llm
from infra.errors import DatabaseError, ModelUnavailable
from tasks.codebook import ROOT, Codebook, Entry, load_codebook, rounded, save_codebook
from tasks.columns import Columns
from tasks.corpus import Corpus
from tasks.facts import Facts, lineage_of
from tasks.grouping import group_facts
from tasks.tree import Tree
from tests.endpoint import Body, Fault, ScriptedEndpoint, user_text
from tests.tasks.clouds import DIMENSIONS, check

pytestmark = pytest.mark.usefixtures("database")

COLUMNS = ["record", "passage", "fact", "problem", "severity", "quote", "quote_dropped"]
CORPUS = Corpus("test", pd.DataFrame(columns=["happened_at", "id"]), Columns())
LINEAGE = lineage_of("test", "embed")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)
    monkeypatch.setenv("PATTERNS_CHAT_MODEL", "nobody:asked")


def at(degrees: float) -> np.ndarray:
    """A place on a circle. 25° are a distance of 0.09, 90° of 1."""
    row = np.zeros(DIMENSIONS, np.float32)
    row[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return rounded(row)


def themes(*degrees: float) -> Codebook:
    """Themes 1, 2, … at these places, of which those within 26° are close."""
    found = [Entry(n, ROOT, "theme", at(place), 0.2) for n, place in enumerate(degrees, 1)]
    return Codebook([Entry(ROOT, None, "area"), *found], 0.2, 100, 10, len(found) + 1)


def facts_at(places: Mapping[float, str], each: int = 3) -> Facts:
    """A few facts at each place, whose texts begin with a word of their own."""
    rows = [
        (f"T{n}-{place}", f"{word} {n}", f"{word} {n}", f"{word} {n}", None, None, False)
        for place, word in places.items()
        for n in range(each)
    ]
    vectors = np.array([at(place) for place in places for _ in range(each)])
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
    return Facts("embed", table, vectors, {}, 0, {})


def words_in(tree: Tree, facts: Facts) -> dict[int, set[str]]:
    """The first words of the facts in each leaf."""
    texts = facts.table["problem"]
    return {leaf.id: {texts[row].split()[0] for row in leaf.facts} for leaf in tree.leaves}


def saying(**verdicts: str) -> Callable[[Body, int], str]:
    """Answers by a word of the question; a verdict that is none fits no schema."""

    def answer(body: Body, n: int) -> str:
        asked = str(body["messages"])
        said = next(verdict for word, verdict in verdicts.items() if word in asked)
        return json.dumps({"verdict": said})

    return answer


def others_win(database: str, times: int) -> None:
    """The next changes of a codebook come too late, so many times."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create sequence lost")
        connection.execute(
            f"""create function lose() returns trigger language plpgsql as $$
            begin
                return case when nextval('lost') <= {times} then null else new end;
            end $$"""
        )
        connection.execute(
            "create trigger too_late before update on patterns.codebooks "
            "for each row execute function lose()"
        )


async def test_close_themes_that_the_model_calls_one_are_one(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = saying(export="same")
    await save_codebook(LINEAGE, themes(0, 25, 90))
    facts = facts_at({0: "export", 25: "download", 90: "login"}, each=9)
    tree = await group_facts.fn(CORPUS, facts)
    assert words_in(tree, facts) == {1: {"export", "download"}, 3: {"login"}}
    assert not tree.refitted
    check(tree, (list(facts.table["fact"]), facts.vectors))
    [asked] = [user_text(body) for body in endpoint.calls]
    lines = [line for line in asked.splitlines() if line and not line.startswith("<")]
    assert lines == [f"- {word} {n}" for word in ("export", "download") for n in range(6)]


async def test_what_was_not_decided_is_asked_again_in_the_next_run_and_nothing_else(
    endpoint: ScriptedEndpoint,
) -> None:
    await save_codebook(LINEAGE, themes(0, 25, 90, 115))
    endpoint.answer = saying(export="different", login="perhaps")
    places = {0: "export", 25: "download", 90: "login", 115: "password"}
    facts = facts_at(places)
    tree = await group_facts.fn(CORPUS, facts)
    assert (len(tree.leaves), tree.undecided) == (4, (3, 4))
    endpoint.calls.clear()
    endpoint.answer = saying(login="same")
    facts = facts_at({place: f"{word} now" for place, word in places.items()})
    tree = await group_facts.fn(CORPUS, facts)
    assert ([*words_in(tree, facts)], tree.undecided) == ([1, 2, 3], ())
    assert len(endpoint.calls) == 1
    later = facts_at({place: f"{word} later" for place, word in places.items()})
    await group_facts.fn(CORPUS, later)
    assert len(endpoint.calls) == 1


async def test_a_codebook_that_another_run_changes_meanwhile_is_read_again(
    endpoint: ScriptedEndpoint, database: str
) -> None:
    def answer(body: Body, n: int) -> str:
        """Another run appends a theme before this one has its answer."""
        with psycopg.connect(database) as connection:
            connection.execute("update patterns.codebooks set version = version + 1")
            connection.execute(
                "insert into patterns.themes select codebook_id, 3, parent, kind, %s::halfvec, "
                "radius, null, true from patterns.themes where id = 1",
                [str(at(180).tolist())],
            )
        return json.dumps({"verdict": "same"})

    endpoint.answer = answer
    await save_codebook(LINEAGE, themes(0, 25))
    facts = facts_at({0: "export", 25: "download", 180: "login"}, each=2)
    tree = await group_facts.fn(CORPUS, facts)
    assert words_in(tree, facts) == {1: {"export", "download"}, 3: {"login"}}
    assert len(endpoint.calls) == 1, "what was said is not asked again"
    stored = await load_codebook(LINEAGE)
    assert stored
    assert (stored.leaves, stored.version) == ((1, 3), 3)


async def test_a_run_that_is_always_too_late_says_so(database: str) -> None:
    await save_codebook(LINEAGE, themes(0, 90))
    others_win(database, 100)
    with pytest.raises(DatabaseError, match=r"'test \| embed \| .*Run again") as failed:
        await group_facts.fn(CORPUS, facts_at({0: "export", 90: "login"}))
    assert not failed.value.transient


def sampled(tree: Tree, facts: Facts) -> set[str]:
    """The facts that the only theme is worded from."""
    [theme] = tree.leaves
    return {facts.table["problem"][row] for row in theme.sample}


async def test_a_theme_that_has_grown_is_worded_from_the_same_facts_in_each_whole_run() -> None:
    await save_codebook(LINEAGE, themes(0))
    few, more = facts_at({0: "export"}, each=8), facts_at({0: "export"}, each=15)
    first = sampled(await group_facts.fn(CORPUS, few), few)
    assert sampled(await group_facts.fn(CORPUS, more), more) == first
    week = facts_at({0: "export"}, each=7)
    chosen = week.table["problem"] != min(first)  # one that the whole is worded from is not in it
    week.table, week.vectors = week.table[chosen].reset_index(drop=True), week.vectors[chosen]
    assert min(first) not in sampled(await group_facts.fn(CORPUS, week, whole=False), week)
    assert sampled(await group_facts.fn(CORPUS, more), more) == first
    stored = await load_codebook(LINEAGE)
    assert stored
    assert stored.entries[1].drawn_of == 8


async def test_a_run_that_cannot_remember_what_it_is_worded_from_goes_on(database: str) -> None:
    await save_codebook(LINEAGE, themes(0))
    few, twice = facts_at({0: "export"}, each=8), facts_at({0: "export"}, each=16)
    await group_facts.fn(CORPUS, few)
    others_win(database, 100)
    assert len(sampled(await group_facts.fn(CORPUS, twice), twice)) == 6
    stored = await load_codebook(LINEAGE)
    assert stored
    assert stored.entries[1].drawn_of == 8


async def test_a_refit_that_is_too_late_is_not_made_twice(database: str) -> None:
    await save_codebook(LINEAGE, themes(0, 90))
    others_win(database, 1)
    facts = facts_at({0: "export", 90: "login"}, each=9)
    tree = await group_facts.fn(CORPUS, facts, refit=True)
    assert tree.refitted
    stored = await load_codebook(LINEAGE)
    assert stored
    assert stored.generation == 2
    check(tree, (list(facts.table["fact"]), facts.vectors))


async def test_while_no_model_answers_nothing_is_decided(endpoint: ScriptedEndpoint) -> None:
    await save_codebook(LINEAGE, themes(0, 25))
    facts = facts_at({0: "export", 25: "download"})
    endpoint.answer = lambda body, n: Fault(503)
    with pytest.raises(ModelUnavailable):
        await group_facts.fn(CORPUS, facts)
    endpoint.answer = saying(export="same")
    assert len((await group_facts.fn(CORPUS, facts)).leaves) == 1


async def test_themes_that_have_no_facts_are_in_no_question_and_no_tree() -> None:
    await save_codebook(LINEAGE, themes(0, 25, 90))
    facts = facts_at({0: "export", 180: "stray"}, each=2)
    tree = await group_facts.fn(CORPUS, facts)
    assert words_in(tree, facts) == {1: {"export"}}
    assert [facts.table["problem"][row] for row in tree.rare] == ["stray 0", "stray 1"]
