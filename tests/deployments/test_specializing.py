"""`patterns specialist` and `route`."""

import asyncio
import json
from pathlib import Path

import pandas as pd
import pytest

from infra.errors import InputError
from tasks.specialist_serving import promoted
from tasks.specialists import read_specialist
from tests.deployments.conftest import Command, refused
from tests.endpoint import ScriptedEndpoint
from tests.tasks.tiny_specialists import WORDS, ready_specialist, sentences, written

pytestmark = pytest.mark.usefixtures("database", "prefect_server", "no_specialists")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return written(tmp_path / "labelled.csv", sentences(60))


def train(patterns: Command, source: Path, encoder: Path, *more: str) -> dict[str, object]:
    command = ("specialist", "train", source, "--encoder", str(encoder), "--teacher", "none")
    done = patterns(
        *command, "--target", "0.9", "--text", "text", "--label", "label", *more, "--json"
    )
    assert done.status == 0, done.err
    return dict(json.loads(done.out))


def serve(number: int) -> None:
    async def go() -> None:
        await promoted(await read_specialist(number), "Ann", None)

    asyncio.run(go())


def test_a_specialist_is_trained_listed_promoted_and_rolled_back(
    patterns: Command, labelled: Path, encoder: Path, session_home: Path
) -> None:
    assert "There is no specialist yet" in patterns("specialist", "list").out
    made = train(patterns, labelled, encoder)
    assert {"id", "accuracy", "coverage_at_target", "ece", "seconds"} <= made.keys()
    assert (made["encoder"], made["teacher"]) == (str(encoder), "none")
    assert (made["id"], made["labels"], made["texts"]) == (1, 4, 240)
    listed = patterns("specialist", "list").out
    assert listed.startswith("1  tickets  ")
    serve(1)
    assert "1  tickets  serves" in patterns("specialist", "list").out
    train(patterns, labelled, encoder, "--epochs", "1")
    serve(2)
    compared = json.loads(patterns("specialist", "evaluate", "1", "--json").out)
    assert compared["challenger"]["specialist"] == 1
    assert compared["champion"]["specialist"] == 2
    assert patterns("specialist", "rollback").out == "Specialist 1 serves tickets again.\n"
    refused(patterns("specialist", "rollback"), "served before this one")
    [file] = session_home.glob("specialists/1-*/model.onnx")
    file.unlink()
    told = json.loads(patterns("specialist", "list", "--json").out)["specialists"]
    assert [bool(each["damage"]) for each in told] == [False, True]
    assert "lacks its file" in patterns("specialist", "list").out


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (("--encoder", "all-mpnet-base-v2", "--teacher", "none"), ("all-mpnet-base-v2", "none")),
        (("--teacher", "all-mpnet-base-v2"), (None, "all-mpnet-base-v2")),
        (("--encoder", "mine", "--teacher", "other"), ("HERE/mine", "HERE/other")),
        ((), (None, None)),
    ],
)
def test_encoder_and_teacher_are_named_or_are_folders(
    patterns: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[str, ...],
    taken: tuple[str | None, ...],
) -> None:
    asked = dict[str, object]()

    def run(flow: str, request: dict[str, object]) -> None:
        asked.update(request)
        raise InputError("Enough is known.")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deployments.specializing.run_flow", run)
    refused(patterns("specialist", "train", "labelled.csv", *given), "Enough is known.")
    expected = [each and each.replace("HERE", str(tmp_path)) for each in taken]
    assert [asked.get("encoder"), asked.get("teacher")] == expected


def test_texts_are_routed_to_a_file(
    patterns: Command, encoder: Path, tmp_path: Path, endpoint: ScriptedEndpoint
) -> None:
    asyncio.run(ready_specialist(encoder))
    new = written(tmp_path / "new.csv", sentences(10, seed=3))
    out = tmp_path / "labels.parquet"
    done = patterns("route", new, "--specialist", "1", "--no-fallback", "--out", out, "--json")
    result = json.loads(done.out)
    assert (result["texts"], result["by_model"], result["by_person"]) == (40, 0, 0)
    rows = pd.read_parquet(out)
    assert list(rows.columns) == ["id", "label", "confidence", "decided_by", "abstained"]
    assert {*rows["id"]} == {f"row-{n}" for n in range(1, 41)}
    assert {*rows["label"]} <= {*WORDS}
    assert (rows["abstained"] == (rows["decided_by"] == "nobody")).all()
    refused(patterns("route", new), "No specialist for tickets serves")
    endpoint.answer = lambda body, n: json.dumps({"label": "none"})
    serve(1)
    words = patterns("route", new, "--no-people").out
    assert "of 40 by specialist 1" in words


def test_a_correction_is_kept_for_the_next_training(
    patterns: Command, labelled: Path, encoder: Path
) -> None:
    train(patterns, labelled, encoder)
    serve(1)
    kept = patterns("specialist", "correct", "the box is late", "--label", "delivery")
    assert "the next specialist for tickets learns from it" in kept.out
    refused(patterns("specialist", "correct", "x", "--label", "dlivery"), "no label 'dlivery'")
    few = json.loads(patterns("specialist", "retrain", "--json").out)
    assert (few["new"], few["serves"]) == (1, False)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("specialist", "train", "nowhere.csv"), "nowhere.csv"),
        (("specialist", "train", "x.csv", "--device", "tpu"), "device: Input should be"),
        (("specialist", "promote", "7"), "There is no specialist 7"),
        (("specialist", "evaluate", "7"), "There is no specialist 7"),
        (("specialist", "rollback"), "There is no specialist yet"),
        (("specialist", "drift"), "There is no specialist yet"),
        (("specialist", "retrain"), "There is no specialist yet"),
        (("route", "x.csv", "--out", "labels.txt"), "has to end in one of"),
        (("route", "x.csv", "--specialist", "7"), "There is no specialist 7"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    patterns: Command, encoder: Path, command: tuple[str, ...], said: str
) -> None:
    refused(patterns(*command), said)


def test_setup_fetches_encoder_and_teacher_where_specialists_can_be_trained(
    patterns: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = list[str]()

    def fetch(name: str) -> Path:
        fetched.append(name)
        return Path(name)

    monkeypatch.setattr("infra.assets.ensure_asset", fetch)
    monkeypatch.setattr("infra.fine_tuning.lacking", list)
    assert patterns("setup").status == 0
    assert {"all-minilm-l6-v2", "all-mpnet-base-v2"} <= {*fetched}
    fetched.clear()
    monkeypatch.setattr("infra.fine_tuning.lacking", lambda: ["torch"])
    assert patterns("setup").status == 0
    assert {"all-minilm-l6-v2", "all-mpnet-base-v2"}.isdisjoint(fetched)


def test_training_without_its_extra_says_how_to_get_it(
    patterns: Command, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    refused(
        patterns("specialist", "train", labelled),
        "Training lacks onnxscript. Install the extra `train`",
    )
