"""What people read of ingests, evaluations and answers."""

import base64
import re

import pytest
from markdown_it import MarkdownIt

from tasks.citations import Citation
from tasks.cited_answers import CitedAnswer, Nearest
from tasks.cited_answers_report import cited_answer_markdown
from tasks.ingestion import Ingested
from tasks.retrieval_evaluation import Answered, Evaluation, Quality
from tasks.retrieval_report import evaluation_markdown, ingested_markdown
from tests.tasks.reports import HOSTILE as OTHERS

MODES = ("vector", "hybrid", "text")
HOSTILE = "<script>x</script> | [a](http://b)\n# c"


def done(**more: object) -> Ingested:
    fields: dict[str, object] = {
        "collection": "help",
        "version": 3,
        "live": True,
        "documents": 1200,
        "passages": 5000,
        "embedded": 2,
        "unchanged": 1198,
        "removed": 0,
        "skipped": (),
        "notes": (),
        "recall": None,
        "recall_before": None,
        "lost": (),
        "seconds": 1.5,
    }
    return Ingested.model_validate({**fields, **more})


def quality(mode: str, **ranks: int | None) -> Quality:
    return Quality.model_validate(
        {
            "version": 3,
            "mode": mode,
            "queries": 2,
            "ndcg_at_10": 0.5,
            "recall_at_10": 0.75,
            "mrr_at_10": 0.5,
            "p50_ms": 3.25,
            "p95_ms": 8.0,
            "ranks": ranks,
        }
    )


def answer(**more: object) -> CitedAnswer:
    fields: dict[str, object] = {
        "question": "How long?",
        "answer": "For 14 days. [1]",
        "supported": True,
        "citations": (Citation(document="a.md", passage=0, context="A > B", quote="14 days."),),
        "nearest": (),
        "model": "openai:m",
        "model_calls": 2,
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "cost_usd": None,
        "latency_ms": 1234.5,
    }
    return CitedAnswer.model_validate({**fields, **more})


def test_an_ingest_tells_what_it_did_and_what_it_could_not() -> None:
    text = ingested_markdown(done(skipped=("scan.pdf has no text.",), recall=0.9))
    assert "1,200, in 5,000 passages" in text
    assert "2, new or changed" in text
    assert "90.0% of their documents among the first 10" in text
    assert "**Documents that could not be read: 1**" in text
    assert "scan.pdf has no text." in text


def test_where_nothing_has_changed_it_is_not_said_that_no_question_is_pinned() -> None:
    text = ingested_markdown(done(embedded=0, removed=0))
    assert "nothing has changed, so none was asked" in text
    assert "pin some" not in text


def test_a_refused_version_names_its_questions() -> None:
    text = ingested_markdown(done(live=False, recall=0.5, recall_before=1.0, lost=("Why?",)))
    assert "**refused: not live**" in text
    assert "50.0% of their documents among the first 10, before 100.0%" in text
    assert "Why?" in text


def test_an_evaluation_has_a_row_for_each_mode_a_plot_and_what_finds_nothing() -> None:
    found = Evaluation(
        collection="help",
        qualities=(quality("vector", q1=1, q2=2), quality("hybrid", q1=1, q2=None)),
        answers=Answered(asked=4, supported=3, cited_relevant=2, off_topic=5, refused=5),
    )
    text = evaluation_markdown(found)
    assert "| 3 | vector | 0.500 | 0.750 | 0.500 | 2 | 3.2 ms | 8.0 ms |" in text
    assert "data:image/png;base64," in text
    assert "- q2" in text
    assert "- q1" not in text
    assert "5 of 5 (100%)" in text


def test_an_answer_shows_each_quote_with_its_place() -> None:
    text = cited_answer_markdown(answer())
    assert "\\[1\\] a.md: A \\> B\n\n> 14 days." in text
    assert "cost unknown" in text


def test_no_answer_shows_the_nearest_passages() -> None:
    near = Nearest(document="b.md", passage=1, score=0.2, context="", text="Near, but not it.")
    text = cited_answer_markdown(
        answer(answer="Not in the documents.", supported=False, citations=(), nearest=(near,))
    )
    assert "none of which tells what was asked" in text
    assert "b.md\n\n> Near, but not it." in text


@pytest.mark.parametrize(
    "text",
    [
        ingested_markdown(done(skipped=(HOSTILE,), lost=(HOSTILE,), notes=(HOSTILE,))),
        cited_answer_markdown(
            answer(
                question=HOSTILE,
                answer=HOSTILE,
                citations=(Citation(document=HOSTILE, passage=0, context=HOSTILE, quote=HOSTILE),),
            )
        ),
    ],
)
def test_what_others_wrote_is_text_and_no_markup(text: str) -> None:
    assert "<script>" not in text
    assert "[a](http" not in text
    assert "\n# c" not in text


RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TAGS = {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "ul", "li", "br", "img"}


def tags(markdown: str) -> set[str]:
    return set(re.findall(r"<\s*/?\s*(\w+)", RENDERER.render(markdown)))


def test_an_ingest_shows_no_list_that_is_empty_and_of_a_long_one_the_first_twenty() -> None:
    assert "**" not in ingested_markdown(done())
    files = tuple(f"scan-{number}.pdf" for number in range(1025))
    lines = ingested_markdown(done(skipped=files, lost=("Why?",))).splitlines()
    assert "**Pinned questions that find fewer of their documents: 1**" in lines
    assert "**Documents that could not be read: 1,025**" in lines
    assert len([line for line in lines if line.startswith("- scan")]) == 20
    assert lines[-1] == "- and 1,005 more"


def test_an_evaluation_has_a_row_for_each_version_and_mode_and_one_picture() -> None:
    both = [quality(mode, q1=1).model_copy(update={"version": v}) for v in (2, 3) for mode in MODES]
    text = evaluation_markdown(Evaluation(collection="help", qualities=tuple(both), answers=None))
    rows = re.findall(r"^\| (\d) \| (\w+) \|", text, re.MULTILINE)
    assert rows == [(version, mode) for version in "23" for mode in MODES]
    assert "Answers" not in text
    (source,) = re.findall(r'<img src="([^"]*)"', RENDERER.render(text))
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True).startswith(b"\x89PNG\r\n")


def test_shares_of_nothing_are_told() -> None:
    none = Answered(asked=0, supported=0, cited_relevant=0, off_topic=0, refused=0)
    found = Evaluation(collection="help", qualities=(quality("text", q1=1),), answers=none)
    assert evaluation_markdown(found).count("none asked") == 3


@pytest.mark.parametrize("words", [*OTHERS, HOSTILE])
def test_hostile_names_are_read_as_they_are(words: str) -> None:
    listed = {"skipped": (words,), "lost": (words,), "notes": (words,)}
    ingest = ingested_markdown(done(live=False, **listed))
    found = quality("hybrid").model_copy(update={"ranks": {words: None, "q2": 1}})
    evaluation = evaluation_markdown(
        Evaluation(collection="help", qualities=(found,), answers=None)
    )
    assert tags(ingest) <= TAGS - {"img", "br"}
    assert tags(evaluation) <= TAGS - {"br"}
    assert RENDERER.render(ingest).count("<li>") == 3
    for text in (ingest, evaluation):
        assert "<a " not in RENDERER.render(text)
