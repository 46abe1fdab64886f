from pathlib import Path

import pytest

from infra.errors import InputError
from tasks.document_collections import live_view
from tasks.retrieval_evaluation import (
    EvaluationRequest,
    Judged,
    answered,
    measure,
    pinnable,
    read_judged,
)
from tests.endpoint import Body, ScriptedEndpoint, user_text
from tests.tasks.test_ingestion import TEXTS, ingest

pytestmark = pytest.mark.usefixtures("database")

QUERIES = "query_id,text\nq1,When is the guest password changed?\nq2,Who won the race?\n"
QRELS = "query_id,doc_id,relevance\nq1,wifi,1\nq1,parking,0\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    queries, qrels = tmp_path / "queries.csv", tmp_path / "qrels.csv"
    queries.write_text(QUERIES)
    qrels.write_text(QRELS)
    return str(queries), str(qrels)


async def test_queries_come_with_what_is_relevant_to_them(files: tuple[str, str]) -> None:
    first, second = await read_judged(*files)
    assert (first.id, first.relevance) == ("q1", {"wifi": 1.0})
    assert second.relevance == {}  # off topic
    assert pinnable([first, second]) == {"When is the guest password changed?": ["wifi"]}


async def test_queries_may_come_from_the_database() -> None:
    first, second = await read_judged(
        "query:select * from (values ('q1', 'Who?'), ('q2', 'When?')) as t (query_id, text)",
        "query:select 'q1' as query_id, 'wifi' as doc_id, 1 as relevance",
    )
    assert (first.relevance, second.relevance) == ({"wifi": 1.0}, {})


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (0, "query_id,text", "id,text", r"queries\.csv has no column query_id"),
        (0, "q2,Who won the race?", "q2,", r"queries\.csv, row 2: text is empty"),
        (1, "parking,0", "parking,much", r"qrels\.csv, row 2: relevance is 'much'"),
        (1, "q1,wifi", "q9,wifi", r"qrels\.csv judges the query 'q9', which .*queries\.csv"),
    ],
)
async def test_a_bad_row_is_named(
    files: tuple[str, str], file: int, old: str, new: str, message: str
) -> None:
    path = Path(files[file])
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=message):
        await read_judged(*files)


async def test_a_version_is_measured_by_the_queries_that_have_documents(
    files: tuple[str, str],
) -> None:
    await ingest()
    found = await measure(await live_view("help"), await read_judged(*files), "hybrid")
    assert (found.queries, found.ranks) == (1, {"q1": 1})
    assert (found.ndcg_at_10, found.recall_at_10, found.mrr_at_10) == (1.0, 1.0, 1.0)
    assert 0 < found.p50_ms <= found.p95_ms


async def test_judgements_of_other_documents_are_refused(files: tuple[str, str]) -> None:
    await ingest()
    view = await live_view("help")
    with pytest.raises(InputError, match="none of the documents that were judged, such as 'moon'"):
        await measure(view, [Judged(id="q", text="Why?", relevance={"moon": 1.0})], "vector")
    with pytest.raises(InputError, match="No query has a relevant document"):
        await measure(view, [Judged(id="q", text="Why?", relevance={})], "vector")


async def test_answers_are_counted_by_support_and_refusal(
    files: tuple[str, str], endpoint: ScriptedEndpoint
) -> None:
    def model(body: Body, n: int) -> str:
        asked = user_text(body)
        if "<sentence>" in asked:
            return '{"answers": "yes"}' if "guest password" in asked else '{"answers": "no"}'
        place = asked.index(TEXTS["wifi"])
        number = asked[: place - 1].rsplit("[", 1)[1][0]
        claim = {"passage": number, "quote": TEXTS["wifi"], "claim": "Every Monday."}
        none = {"passage": "none", "quote": "", "claim": ""}
        import json

        return json.dumps({"claims": [claim if "guest password" in asked else none]})

    endpoint.answer = model
    await ingest()
    request = EvaluationRequest(collection="help", queries=files[0], qrels=files[1], answers=5)
    found = await answered(request, await read_judged(*files))
    assert found is not None
    assert (found.asked, found.supported, found.cited_relevant) == (1, 1, 1)
    assert (found.off_topic, found.refused) == (1, 1)
