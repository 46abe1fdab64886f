"""An encoder that is trained in seconds, and labelled texts that it can learn."""

import random
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from infra.classifier_recipe import Recipe
from tasks.labelled_texts import Example, fit, parted
from tasks.specialist_training import TrainingRequest, carded, fine_tuned
from tasks.specialists import Specialist, register

WORDS = {
    "refund": ("refund", "money", "back", "charged", "twice", "invoice"),
    "login": ("password", "login", "locked", "account", "reset", "code"),
    "delivery": ("parcel", "late", "courier", "tracking", "arrived", "box"),
    "cancel": ("cancel", "contract", "leave", "end", "subscription", "stop"),
}
FILLERS = (
    "please",
    "hello",
    "my",
    "the",
    "is",
    "again",
    "today",
    "cannot",
    "help",
    "with",
    "since",
)
STRANGE = ("weather", "moon", "recipe", "football", "holiday", "song")
RECIPE = Recipe(epochs=16, batch=16, encoder_rate=3e-3, head_rate=1e-2, patience=16)


def text_of(words: tuple[str, ...], draw: random.Random) -> str:
    """A sentence of a label's words and others."""
    said = draw.sample(words, 3) + draw.sample(FILLERS, 4)
    draw.shuffle(said)
    return " ".join(said)


def sentences(each: int = 60, outside: int = 0, seed: int = 0) -> list[Example]:
    """So many texts of each label, all different, and so many that none fits."""
    draw, found = random.Random(seed), dict[str, Example]()
    for label, words in WORDS.items():
        wanted = len(found) + each
        while len(found) < wanted:
            text = text_of(words, draw)
            found.setdefault(text, Example(text, label, "row 1"))
    wanted = len(found) + outside
    while len(found) < wanted:
        text = text_of(STRANGE, draw)
        found.setdefault(text, Example(text, "other", "row 1", outside=True))
    return list(found.values())


def written(path: Path, examples: list[Example]) -> Path:
    """The examples as a CSV file with the columns text and label."""
    pd.DataFrame([{"text": e.text, "label": e.label} for e in examples]).to_csv(path, index=False)
    return path


def request(source: Path, encoder: Path, **rest: Any) -> dict[str, Any]:
    """A request to train on a file with the tiny encoder, which nobody teaches."""
    known = {"source": str(source), "encoder": str(encoder), "teacher": "none"}
    return {**known, "recipe": RECIPE.model_dump(), **rest}


@cache
def tiny_encoder(folder: Path, width: int = 32) -> Path:
    """The folder of an encoder of one small layer, which knows the words above. Needs PyTorch."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    words = [*{word for group in (*WORDS.values(), FILLERS, STRANGE) for word in group}]
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", *sorted(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    shape = {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(vocabulary), intermediate_size=64, **shape)
    BertModel(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


_READY = dict[Path, Any]()  # by encoder: trained once


async def ready_specialist(encoder: Path, tested: Sequence[Example] = ()) -> Specialist:
    """A specialist that is registered, and sure of what it knows alone; trained once, without a
    run. ``tested``: further texts of the part that it is tested on."""
    examples = fit("labelled texts", sentences(60, outside=80))
    parts = parted(examples)
    if encoder not in _READY:
        asked = TrainingRequest.model_validate(
            request(Path("labelled.csv"), encoder, target_accuracy=0.9, outside="other")
        )
        work = encoder.parent / f"{encoder.name}-ready"
        trained = await fine_tuned(asked, examples.labels, parts, work)
        card, scope = await carded(asked, examples, parts, trained, time.monotonic())
        _READY[encoder] = (card, trained.folder, scope)
    parts["test"] = (*parts["test"], *tested)
    kept = (examples.source, examples.sha256, *_READY[encoder], parts)
    return await register("tickets", uuid4(), *kept)
