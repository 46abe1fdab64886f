"""Those that `benchmarks.specialist` compares with, which it runs by another Python, one that has
scikit-learn and SetFit (`pip install setfit 'transformers<5'`; SetFit knows no later one):

    PYTHON benchmarks/specialist_peers.py FOLDER WHO

FOLDER: told.json (texts, classes, asked, encoder, steps), learned.npy and asked.npy (embeddings of
texts and asked). WHO: tfidf, frozen, plain or setfit. Writes WHO.npy there, the logits (asked,
classes), and prints the minutes of learning.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_union


def tfidf(told: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """Words, pairs of words and pieces of words, with logistic regression."""
    words = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    fitted = _regressed(words.fit_transform(told["texts"]), told)
    return lambda: fitted.predict_proba(words.transform(told["asked"]))


def frozen(told: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """The embeddings that search uses, with logistic regression."""
    fitted = _regressed(np.load(folder / "learned.npy"), told)
    return lambda: fitted.predict_proba(np.load(folder / "asked.npy"))


def plain(told: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """The same encoder fine-tuned as everybody does it: the mean of the tokens, a linear head,
    AdamW, one cycle, batches of 32, five epochs."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(told["encoder"])
    encoder = AutoModel.from_pretrained(told["encoder"]).train()
    classes = torch.tensor(told["classes"])
    head = torch.nn.Linear(encoder.config.hidden_size, int(classes.max()) + 1)
    groups = [{"params": encoder.parameters()}, {"params": head.parameters()}]
    optimizer = torch.optim.AdamW(groups)
    steps, rates = 5 * -(-len(classes) // 32), [2e-4, 3e-3]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)

    def logits(texts: list[str]) -> Any:
        read = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        mask = read["attention_mask"].unsqueeze(-1)
        states = encoder(**read).last_hidden_state
        return head((states * mask).sum(dim=1) / mask.sum(dim=1))

    for _ in range(5):
        for rows in torch.randperm(len(classes)).split(32):
            said = logits([told["texts"][row] for row in rows])
            torch.nn.functional.cross_entropy(said, classes[rows]).backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()

    def asked() -> Any:
        encoder.eval()
        with torch.inference_mode():
            parts = [told["asked"][at : at + 128] for at in range(0, len(told["asked"]), 128)]
            return torch.cat([logits(part).softmax(dim=1) for part in parts]).numpy()

    return asked


def setfit(told: dict[str, Any], folder: Path) -> Callable[[], Any]:
    """SetFit (Tunstall et al. 2022), from the same encoder."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(told["encoder"])
    data = Dataset.from_dict({"text": told["texts"], "label": told["classes"]})
    arguments = TrainingArguments(
        output_dir=str(folder / "setfit"), max_steps=told["steps"], batch_size=16
    )
    Trainer(model=model, args=arguments, train_dataset=data).train()
    return lambda: np.array(model.predict_proba(told["asked"]))


def _regressed(rows: Any, told: dict[str, Any]) -> LogisticRegression:
    return LogisticRegression(C=20, max_iter=2000).fit(rows, told["classes"])


def main(folder: Path, who: str) -> None:
    told = json.loads((folder / "told.json").read_text())
    began = time.monotonic()
    answer = {"tfidf": tfidf, "frozen": frozen, "plain": plain, "setfit": setfit}[who](told, folder)
    minutes = (time.monotonic() - began) / 60
    np.save(folder / f"{who}.npy", np.log(answer() + 1e-12))
    print(minutes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
