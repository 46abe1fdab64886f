"""The samples are put where the forms look for them, and replace nothing."""

from pathlib import Path

import pytest

from infra.errors import InputError
from tasks.change_rules import current_rules
from tasks.corpus import load_corpus, read_source
from tasks.kept_corpora import remove_records
from tasks.labelled_texts import load_examples
from tasks.retrieval_evaluation import read_judged
from tasks.sample_data import put_samples

pytestmark = pytest.mark.usefixtures("database")

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_the_samples_are_a_corpus_tables_and_records() -> None:
    done = await put_samples(EXAMPLES, "Zoe")
    assert "corpus:support" in done
    assert len((await load_corpus("corpus:support")).records) == 104
    judged = await read_judged(
        "query:SELECT query_id, text FROM samples.questions",
        "query:SELECT query_id, doc_id, relevance FROM samples.answers",
    )
    assert len([each for each in judged if each.relevance]) == 15
    labelled = await load_examples("query:SELECT text, label FROM samples.labelled_tickets")
    assert "battery drain" in labelled.labels
    assert "none" not in labelled.labels
    assert "crm.subscriptions.paused" in (await current_rules()).fields


async def test_what_is_there_stays_as_it_is() -> None:
    await put_samples(EXAMPLES, "Zoe")
    await remove_records("support", ["T-1001"])
    assert await put_samples(EXAMPLES, "Zoe") == []
    kept = (await read_source("corpus:support")).table
    assert "T-1001" not in set(kept["id"])


async def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no samples: it lacks tickets\.csv"):
        await put_samples(tmp_path, "Zoe")
