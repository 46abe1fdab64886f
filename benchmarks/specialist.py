"""How good a specialist is, beside others, and what routing costs:
`python -m benchmarks.specialist DATA …`.

    DATA → parts → specialist | TF-IDF | frozen | plain | SetFit → accuracy, coverage, ECE, AUROC
    texts → specialist, then a model | all to the model → calls, cost, time

Each DATA is a table with text and label. Where it has a column is_oos, those rows are outside;
where it has a column bot, each bot is a set of its own, and a part of its labels (--leave) is
outside. All learn from the same part and are measured on the same texts, which none has learned
from; what is outside nobody has ever seen. The others run in a Python of their own (--peer), as
SetFit wants an older transformers. Routing (--route N: so many texts that it has not learned from,
of the first set that has them) has a simulated endpoint of one second a call. --test is a further
table of the first set, such as its official test part.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd

from benchmarks.servers import home, model
from benchmarks.specialist_routing import routed
from benchmarks.specialist_sets import TARGET, Compared, asked, sets
from infra.embeddings import embed
from infra.fine_tuning import DEFAULT_ENCODER, encoder_folder
from infra.llm import close_door
from tasks.calibration import coverage_at
from tasks.labelled_texts import Examples
from tasks.specialist_serving import answers
from tasks.specialist_training import TrainingRequest, carded, fine_tuned
from tasks.specialists import Specialist, register

_PEERS = {
    "tfidf": "TF-IDF, logistic regression",
    "frozen": "frozen embeddings, logistic regression",
    "plain": "plain fine-tuning, five epochs",
    "setfit": "SetFit, {steps:,} steps",
}


async def specialist(found: Compared, examples: Examples, device: str) -> Specialist:
    """Ours, trained and registered."""
    request = TrainingRequest.model_validate({"source": examples.source, "device": device})
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trained = await fine_tuned(request, found.labels, found.parts, Path(folder))
        card, scope = await carded(request, examples, found.parts, trained, began)
        kept = (examples.source, examples.sha256, card, trained.folder, scope, found.parts)
        made = await register(examples.source[:60], uuid4(), *kept)
    for each in trained.epochs:
        print(f"    epoch {each.number}: {each.check_accuracy:.3f}, {each.seconds:.0f} s")
    return made


async def judged(found: Compared, made: Specialist) -> list[str]:
    """Ours on the tested texts: the lines of its figures."""
    logits, sure = await answers(made, found.texts("test"))
    beyond = (await answers(made, found.outside))[1] if found.outside else np.empty(0)
    of, card = made.card.figures, made.card
    return [
        found.row("specialist", logits, sure, beyond, card.minutes),
        f"{'':40}  by itself {of.acted_on:.1%}, {of.acted_on_accuracy or 0:.1%} of it right; best "
        f"of its epochs: {card.epochs}",
    ]


async def peers(found: Compared, python: Path, who: Sequence[str], steps: int) -> None:
    """The others, each with a line when it is done."""
    learned, questions = found.texts("train"), asked(found)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = {
            "texts": learned,
            "classes": found.classes("train").tolist(),
            "asked": questions,
            "encoder": str(encoder_folder(DEFAULT_ENCODER)),
            "steps": steps,
        }
        (folder / "told.json").write_text(json.dumps(told))
        for file, texts in (("learned", learned), ("asked", questions)):
            vectors = np.empty((0, 1)) if not texts else np.stack([*await embed(texts)])
            np.save(folder / f"{file}.npy", vectors)
        script = Path(__file__).with_name("specialist_peers.py")
        for peer in who:
            command = [python, script, folder, peer]
            said = await asyncio.to_thread(subprocess.check_output, command, text=True)
            line = (np.load(folder / f"{peer}.npy"), float(said.splitlines()[-1]))
            print(found.row_of_peer(_PEERS[peer].format(steps=steps), *line), flush=True)


async def speed(made: Specialist, texts: Sequence[str]) -> str:
    """Milliseconds a decision, in batch and one by one."""
    await answers(made, texts[:50])
    began = time.perf_counter()
    await answers(made, texts)
    batch = 1000 * (time.perf_counter() - began) / len(texts)
    single = list[float]()
    for text in texts[:300]:
        began = time.perf_counter()
        await answers(made, [text])
        single.append(1000 * (time.perf_counter() - began))
    p50, p95 = np.quantile(single, [0.5, 0.95])
    return f"a decision: {batch:.2f} ms in batch; one by one p50 {p50:.1f} ms, p95 {p95:.1f} ms"


async def further(made: Specialist, path: Path) -> str:
    """On a further table of the same labels."""
    table = pd.read_parquet(path)
    logits, sure = await answers(made, table["text"].tolist())
    right = np.array(made.card.labels)[logits.argmax(axis=1)] == table["label"].to_numpy()
    return (
        f"{path.name}: accuracy {right.mean():.3f}, at {TARGET:.0%} "
        f"{coverage_at(sure, right, TARGET):.3f} of {len(table):,}"
    )


async def measured(given: argparse.Namespace, endpoint: str) -> None:
    """All that is asked for, printed as it comes."""
    first: Specialist | None = None
    route = given.route
    try:
        for examples in (each for path in given.data for each in sets(path, given.leave)):
            found = Compared(examples)
            print(f"\n{examples.source}: {found.told()}", flush=True)
            made = await specialist(found, examples, given.device)
            for line in await judged(found, made):
                print(line, flush=True)
            print(await speed(made, found.texts("train")[:2000]), flush=True)
            if given.peer:
                await peers(found, given.peer, given.peers, given.steps)
            unseen = [*found.texts("test"), *found.outside, *found.texts("check")]
            if 0 < route <= len(unseen):
                print("\n".join(await routed(made, unseen[:route], endpoint)), flush=True)
                route = 0
            first = first or made
        if first and given.test:
            print(await further(first, given.test), flush=True)
        if route:
            raise SystemExit(f"No set has {route:,} texts that were not learned from.")
    finally:
        await close_door()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--test", type=Path, help="A further table of the first set.")
    parser.add_argument("--leave", type=float, default=0.3, help="Share of a bot's labels.")
    parser.add_argument("--peer", type=Path, help="A Python that has scikit-learn and SetFit.")
    parser.add_argument("--peers", nargs="+", choices=[*_PEERS], default=[*_PEERS])
    parser.add_argument("--steps", type=int, default=1000, help="Of SetFit.")
    parser.add_argument("--route", type=int, default=0, help="Texts to route.")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    with home(named=True), model(1.0) as endpoint:
        asyncio.run(measured(given, endpoint))


if __name__ == "__main__":
    main()
