"""Reduce: every node of the tree in words, each as soon as its children have theirs.

No count, date, share or ticket id enters a prompt, so the words are asked for again only when the
words that they are made from have changed. A node whose words cannot be had keeps a title from its
own evidence, and says so.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from infra.errors import (
    ContextOverflow,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    ReplyMalformed,
    ReplyTruncated,
)
from tasks.asking import ask
from tasks.findings import CITATION
from tasks.progress import Progress
from tasks.replies import Severity
from tasks.runs import is_transient, together

if TYPE_CHECKING:
    from tasks.facts import Facts
    from tasks.tree import Node, Tree

UNUSABLE = (ContextOverflow, ModelRefused, ReplyMalformed, ReplyTruncated)
# A mark at the end of a word, with the quotes, brackets and citations that belong before the next.
_SENTENCE_END = re.compile(
    rf"""(?:[.!?…]["'”’»)]*(?:\s*{CITATION})*(?=\s|$)|[。！？]["'”’」』）]*)"""
)
_SHOWN = 280  # characters of a fact in a prompt: the rest seldom says what the problem is


class Words(BaseModel):
    """A node in words. ``failed``: why the model's could not be had, and these are not its own;
    ``sources``: SHA-256 of the passages that it rests on, so that a forgotten one takes it along.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    detail: str = ""
    severity: Severity | None = None
    failed: str | None = None
    sources: tuple[str, ...] = ()


class Synthesis(BaseModel):
    """The whole in words. The overview cites the root's children, as in [F3] or [S14]."""

    model_config = ConfigDict(frozen=True)

    headline: str
    overview: str = ""
    failed: str | None = None


@task(
    name="word branch",
    task_run_name="word branch {branch}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=is_transient,
)
async def word_branch(
    tree: "Tree", branch: int, facts: "Facts", following: Progress
) -> dict[int, Words]:
    """The words of a node and of all below it, by node id."""
    words: dict[int, Words] = {}

    async def word(node: "Node") -> None:
        if node.children:
            await together(word(tree.nodes[child]) for child in node.children)
            words[node.id] = await word_area([words[child] for child in node.children])
        else:
            words[node.id] = await word_theme(*sample_texts(node, facts))
        await following.advance()

    await word(tree.nodes[branch])
    return words


async def word_theme(texts: Sequence[str], sources: tuple[str, ...]) -> Words:
    """What texts have in common, in words. ``sources``: SHA-256 of the passages they come from."""
    lines = "\n".join(f"- {_shortened(text)}" for text in texts)
    said = await answer("word_theme", {"texts": lines}, sources)
    if isinstance(said, str):
        return Words(title=_shortened(texts[0], 70), failed=said, sources=sources)
    return _words(said, sources)


async def word_area(children: Sequence[Words]) -> Words:
    """What themes have in common, in words."""
    lines = "\n".join(f"- {child.title}: {child.detail}" for child in children)
    sources = sources_of(children)
    said = await answer("word_area", {"themes": lines}, sources)
    if isinstance(said, str):
        titles = " · ".join(child.title for child in children)
        return Words(title=_shortened(titles, 70), failed=said, sources=sources)
    return _words(said, sources)


@task(
    name="synthesize",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=is_transient,
)
async def synthesize(tree: "Tree", words: dict[int, Words]) -> Synthesis:
    """The whole in words, from the words of the root's children in their fixed order."""
    if not tree.branches:
        return Synthesis(headline="No two tickets report the same.")
    lines = "\n".join(
        f"[{tree.name_of(child)}] {words[child].title}: {words[child].detail}"
        for child in tree.branches
    )
    rests_on = sources_of([words[child] for child in tree.branches])
    said = await answer("synthesize", {"parts": lines}, rests_on)
    if isinstance(said, str):
        return Synthesis(headline="What the tickets are about.", failed=said)
    synthesis = Synthesis.model_validate(said, from_attributes=True)
    whole = {name: whole_sentences(getattr(synthesis, name)) for name in ("headline", "overview")}
    return synthesis.model_copy(update=whole)


async def same_problem(
    first: Sequence[str], second: Sequence[str], sources: tuple[str, ...]
) -> bool | None:
    """Whether two groups of texts are about one problem, as the model says; None if it does not."""
    groups = {
        name: "\n".join(f"- {_shortened(text, 160)}" for text in texts)
        for name, texts in (("first", first), ("second", second))
    }
    said = await answer("compare_themes", groups, sources)
    return None if isinstance(said, str) else getattr(said, "verdict", None) == "same"


async def answer(
    prompt: str, inputs: Mapping[str, str], sources: tuple[str, ...] = ()
) -> BaseModel | str | None:
    """The value of a reply; or, where it cannot be had, the name of the error: the rest goes on
    without it. Raises when the endpoint answers nobody, and what no other request would mend."""
    try:
        return (await ask(prompt, inputs, sources=sources)).value
    except UNUSABLE as error:
        return type(error).__name__
    except (ModelUnavailable, ModelRateLimited) as error:
        if error.endpoint_down:
            raise
        return type(error).__name__


def sample_texts(node: "Node", facts: "Facts") -> tuple[list[str], tuple[str, ...]]:
    """The texts of a leaf's stable sample, and the SHA-256 of their passages."""
    rows = facts.table.iloc[list(node.sample)]
    return list(rows["problem"]), tuple(dict.fromkeys(rows["passage"]))


def sources_of(several: Iterable[Words]) -> tuple[str, ...]:
    """SHA-256 of all the passages that several nodes rest on."""
    return tuple(dict.fromkeys(source for words in several for source in words.sources))


def _words(said: "BaseModel | None", sources: tuple[str, ...]) -> Words:
    words = Words.model_validate(said, from_attributes=True)
    whole = {"detail": whole_sentences(words.detail), "sources": sources}
    return words.model_copy(update=whole)


def whole_sentences(text: str) -> str:
    """The text up to its last whole sentence, where it has one: a length limit may have cut it."""
    text = " ".join(text.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else text.rstrip(" ,;:")


def _shortened(text: str, most: int = _SHOWN) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= most else one_line[: most - 1].rstrip() + "…"
