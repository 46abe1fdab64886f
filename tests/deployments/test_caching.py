import json
from pathlib import Path

import pytest

from tests.deployments.conftest import Command, refused

pytestmark = pytest.mark.usefixtures("database", "prefect_server")

ASKED = ("prompt", "answer_briefly", "--input", "question=How do I reset my password?")


def test_the_stock_is_told_and_can_be_dropped(patterns: Command) -> None:
    patterns(*ASKED)
    patterns(*ASKED)
    told = json.loads(patterns("cache", "stats", "--json").out)
    assert {k: told[k] for k in ("entries", "exact_hits", "semantic_hits", "misses")} == {
        "entries": 1,
        "exact_hits": 1,
        "semantic_hits": 0,
        "misses": 1,
    }
    assert (told["false_hit_rate"], told["interval"]) == (None, None)
    assert "learning" in patterns("cache", "stats").out
    assert json.loads(patterns("cache", "evict", "--tenant", "acme", "--json").out) == {
        "evicted": 0
    }
    evicted = patterns("cache", "evict", "--prompt", "answer_briefly", "--json").out
    assert json.loads(evicted) == {"evicted": 1}
    assert json.loads(patterns("cache", "clear", "--yes", "--json").out) == {"evicted": 0}


def test_pairs_tell_what_the_semantic_cache_would_do(patterns: Command, tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    rows = ["How do I reset my password?,How can I reset my password?,1"] * 500
    rows += ["How do I enable 2FA?,How do I disable 2FA?,0"] * 500
    file.write_text("\n".join(["text_a,text_b,label", *rows]))
    told = json.loads(patterns("cache", "evaluate", str(file), "--json").out)
    assert {"pairs", "hits", "wrong_hits", "hit_rate", "wrong_share", "threshold"} <= told.keys()
    assert (told["pairs"], told["wrong_hits"]) == (500, 0)
    assert told["hits"] > 200
    said = patterns("cache", "evaluate", str(file), "--teach", "answer_briefly").out
    assert "is certified for 1.0%" in said
    assert "on, from a similarity of" in patterns("cache", "stats").out


def test_what_cannot_be_done_is_refused(patterns: Command, tmp_path: Path) -> None:
    refused(patterns("cache", "evict"), "Name what to evict")
    refused(patterns("cache", "evaluate", str(tmp_path / "none.csv")), "none.csv")
