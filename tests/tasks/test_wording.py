import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import llm
from infra.errors import ModelError, ModelRejected, ModelUnavailable
from tasks.facts import Facts
from tasks.progress import Progress
from tasks.tree import Node, Tree
from tasks.wording import (
    Synthesis,
    Words,
    same_problem,
    sample_texts,
    synthesize,
    whole_sentences,
    word_area,
    word_branch,
    word_theme,
)
from tests.endpoint import Body, Fault, Said, ScriptedEndpoint, user_text

COLUMNS = ["record", "passage", "fact", "problem", "severity", "quote", "quote_dropped"]
UNUSABLE: list[tuple[str | Said | Fault, str]] = [
    ("nonsense", "ReplyMalformed"),
    (Said('{"title": "Exp', "length"), "ReplyTruncated"),
    (Said("", "content_filter"), "ModelRefused"),
    (Fault(400, code="context_length_exceeded"), "ContextOverflow"),
]
Leaves = Mapping[int, Sequence[str]]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "_pause", lambda tries, error: 0.0)


def planted(
    leaves: Leaves, over: Mapping[int, tuple[int, ...]], more: int = 0, record: str = "T"
) -> tuple[Tree, Facts]:
    """Leaves with texts, and the nodes over them, from below. ``more`` facts in each leaf are no
    part of its sample; ``record`` begins the ids of all records."""
    rows, nodes = [], {}
    for id_, texts in leaves.items():
        first = len(rows)
        shown = [*texts, *(f"another {n}" for n in range(more))]
        rows += [
            (f"{record}{first + n}", text, text, text, None, None, False)
            for n, text in enumerate(shown)
        ]
        facts = tuple(range(first, len(rows)))
        nodes[id_] = Node(id_, (), facts, facts[: len(texts)])
    nodes |= {id_: Node(id_, children) for id_, children in over.items()}
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object)
    return Tree(nodes, (), False), Facts("read", table, np.zeros((len(rows), 3)), {}, 0, {})


def echo(body: Body, n: int) -> str:
    """Words that say what they were made from."""
    lines = [line for line in user_text(body).splitlines() if line.startswith("- ")]
    said = {"title": f"about {lines[0][2:12]}", "detail": f"{len(lines)} in all."}
    return json.dumps({"severity": "low", **said} if "<texts>" in user_text(body) else said)


async def worded(tree: Tree, branch: int, facts: Facts) -> dict[int, Words]:
    return await word_branch.fn(tree, branch, facts, Progress("Wording", len(tree.nodes)))


@pytest.mark.usefixtures("database")
async def test_a_node_is_worded_only_from_its_childrens_words(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = echo
    leaves = {1: ["export hangs", "no export"], 2: ["login fails"], 3: ["wrong bill"]}
    tree, facts = planted(leaves, {4: (1, 2), 0: (3, 4)})
    following = Progress("Wording", 3)
    words = await word_branch.fn(tree, 4, facts, following)
    asked = [user_text(body) for body in endpoint.calls]
    assert sorted(asked[:2]) == [
        "<texts>\n- export hangs\n- no export\n</texts>",
        "<texts>\n- login fails\n</texts>",
    ]
    assert asked[2:] == [
        "<themes>\n- about export han: 2 in all.\n- about login fail: 1 in all.\n</themes>"
    ]
    assert words.keys() == {1, 2, 4}
    said = words[1].model_dump(exclude={"sources"}, exclude_none=True)
    assert said == {"title": "about export han", "detail": "2 in all.", "severity": "low"}
    assert words[1].sources == ("export hangs", "no export")
    assert words[4].sources == ("export hangs", "no export", "login fails")
    assert following.done == following.of


@pytest.mark.usefixtures("database")
async def test_the_same_samples_are_worded_once_whatever_else_changes(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = echo
    leaves = {1: ["export hangs"], 2: ["login fails"]}
    few = planted(leaves, {0: (1, 2)})
    many = planted(dict(reversed(leaves.items())), {3: (1, 2), 0: (3,)}, 5, "CASE-2026-05-")
    for tree, facts in (few, many):
        for leaf in (1, 2):
            await worded(tree, leaf, facts)
    assert len(endpoint.calls) == 2
    changed = planted({1: ["export hangs at once"], 2: ["login fails"]}, {0: (1, 2)})
    await worded(changed[0], 1, changed[1])
    await worded(changed[0], 2, changed[1])
    assert len(endpoint.calls) == 3


@pytest.mark.usefixtures("database")
async def test_what_cannot_be_worded_keeps_a_title_from_its_own_evidence_and_says_why(
    endpoint: ScriptedEndpoint,
) -> None:
    for said, why in UNUSABLE:
        endpoint.answer = lambda body, n, said=said: said
        words = await word_theme(["  Export\nhangs ", "Login fails"], ())
        assert words == Words(title="Export hangs", failed=why)
    long = "Export of the monthly report for all of our branch offices hangs at 30 %"
    cut = (await word_theme([long], ())).title
    assert long.startswith(cut.removesuffix("…"))
    assert len(cut) <= 70
    below = [Words(title="Export hangs", detail="x."), Words(title="Login fails", detail="y.")]
    assert await word_area(below) == Words(title="Export hangs · Login fails", failed=why)
    tree, _ = planted({1: ["a"], 2: ["b"]}, {0: (1, 2)})
    whole = await synthesize.fn(tree, dict(enumerate(below, 1)))
    assert (whole.overview, whole.failed) == ("", why)
    assert await same_problem(["a"], ["b"], ()) is None


@pytest.mark.usefixtures("database")
async def test_a_node_that_fails_spoils_no_other(endpoint: ScriptedEndpoint) -> None:
    def answer(body: Body, n: int) -> str | Said:
        return Said("", "content_filter") if "poison" in user_text(body) else echo(body, n)

    endpoint.answer = answer
    tree, facts = planted({1: ["poison"], 2: ["login fails"]}, {3: (1, 2), 0: (3,)})
    words = await worded(tree, 3, facts)
    assert {node: said.failed for node, said in words.items()} == {
        1: "ModelRefused",
        2: None,
        3: "ModelRefused",
    }
    assert words[3].title == "poison · about login fail"


@pytest.mark.usefixtures("database")
async def test_an_endpoint_that_fails_ends_the_branch_with_its_own_error(
    endpoint: ScriptedEndpoint,
) -> None:
    tree, facts = planted({1: ["a b"], 2: ["c d"]}, {3: (1, 2), 0: (3,)})
    errors: list[tuple[int, type[ModelError]]] = [(503, ModelUnavailable), (401, ModelRejected)]
    for status, error in errors:
        endpoint.answer = lambda body, n, status=status: Fault(status)
        with pytest.raises(error):
            await worded(tree, 3, facts)
        with pytest.raises(error):
            await synthesize.fn(tree, {3: Words(title="a")})
        with pytest.raises(error):
            await same_problem(["a"], ["b"], ())


@pytest.mark.usefixtures("database")
async def test_the_whole_is_worded_from_the_roots_children_in_their_order(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = lambda body, n: json.dumps(
        {"headline": "Exports  hang. Also lo", "overview": "Exports hang [S5]. Logins fail [F"}
    )
    tree, _ = planted({1: ["a"], 2: ["b"], 3: ["c"]}, {5: (2, 3), 0: (1, 5)})
    words = {
        5: Words(title="Exports", detail="They hang."),
        3: Words(title="Below", detail="Not shown."),
        1: Words(title="Logins", detail="They fail."),
    }
    whole = await synthesize.fn(tree, words)
    assert [user_text(body) for body in endpoint.calls] == [
        "<parts>\n[F1] Logins: They fail.\n[S5] Exports: They hang.\n</parts>"
    ]
    assert whole == Synthesis(headline="Exports hang.", overview="Exports hang [S5].")


async def test_where_there_are_no_themes_no_model_is_asked_for_the_whole() -> None:
    tree, _ = planted({}, {0: ()})
    assert await synthesize.fn(tree, {}) == Synthesis(headline="No two tickets report the same.")


@pytest.mark.usefixtures("database")
async def test_two_groups_are_one_problem_when_the_model_says_so(
    endpoint: ScriptedEndpoint,
) -> None:
    endpoint.answer = lambda body, n: json.dumps(
        {"verdict": "same" if "export" in user_text(body) else "different"}
    )
    long = "the export hangs " * 20
    assert await same_problem([long], ["no\n export"], ()) is True
    assert await same_problem(["login fails"], ["wrong bill"], ()) is False
    first, second = user_text(endpoint.calls[0]).split("\n\n")
    assert second == "<second>\n- no export\n</second>"
    shown = first.splitlines()[1]
    assert len(shown) <= 162
    assert long.startswith(shown[2:].removesuffix("…"))


def test_a_leaf_is_shown_by_its_sample_with_each_passage_once() -> None:
    tree, facts = planted({1: ["a", "b", "a"], 2: ["c"]}, {0: (1, 2)}, more=2)
    assert sample_texts(tree.nodes[1], facts) == (["a", "b", "a"], ("a", "b"))


WORD = st.text("abcé漢", min_size=1, max_size=5)
SENTENCE = st.tuples(st.lists(WORD, min_size=1, max_size=4), st.sampled_from(".!?…。！？"))


@given(
    st.lists(SENTENCE, min_size=1, max_size=4), st.lists(WORD, max_size=4), st.sampled_from(" \n")
)
def test_a_text_that_was_cut_ends_with_its_last_whole_sentence(
    sentences: list[tuple[list[str], str]], rest: list[str], gap: str
) -> None:
    whole = [" ".join(words) + mark for words, mark in sentences]
    assert whole_sentences(gap.join([*whole, *rest])) == " ".join(whole)


@pytest.mark.parametrize(
    "text",
    [
        "Exports of report.csv hang and customers wait",
        "It hangs at 3.5 MB",
        "Exports hang. [F2] Logins fail. [F9, S1]",
        'They read "export failed."',
        "エクスポートが止まる。ログインできない。",
    ],
)
def test_what_ends_as_sentences_do_is_kept_whole(text: str) -> None:
    assert whole_sentences(text) == text


@given(st.text(" \n,;:ab.", max_size=30))
def test_no_words_are_invented_and_no_sentence_is_all_that_there_is(text: str) -> None:
    kept = whole_sentences(text)
    assert " ".join(text.split()).startswith(kept)
    assert whole_sentences(kept) == kept
    if not set(text) & {"."}:
        assert kept.split() == text.rstrip(" \n,;:").split()
