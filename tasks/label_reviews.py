"""Texts that neither specialist nor model is sure of, as people label them: several at once."""

from collections.abc import Sequence
from functools import partial

from prefect import task
from pydantic import BaseModel, ConfigDict

from tasks.corpus import Corpus
from tasks.label_batches import label_inputs, label_markdown, label_text, read_labels
from tasks.people_labels import KIND, labels_of
from tasks.result_files import require_writable
from tasks.review_output import Refused, Released, Reviewable, require_policies
from tasks.reviews import Draft, Rejection, Subject
from tasks.routing import Routed, RouteRequest, texts_by_id
from tasks.runs import RETRIED
from tasks.specialists import Specialist
from tasks.steps import once

POLICY = "labels"


class Unsure(BaseModel):
    """What people are asked about in a run, the same however often it starts anew."""

    model_config = ConfigDict(frozen=True)

    texts: dict[str, str]
    guesses: dict[str, tuple[str, float]]


def require_ready(request: RouteRequest) -> None:
    """Raise now, not after the work: InputError for a file that cannot be written, SettingsError
    where people are to be asked and nobody could decide."""
    require_writable(request.out)
    if request.people:
        require_policies([POLICY])


@task(name="gather what is unsure", **RETRIED)
async def gathered(request: RouteRequest, routed: Sequence[Routed], corpus: Corpus) -> Unsure:
    """What nobody has decided on yet; nothing, where people are not to be asked."""
    if not request.people:
        return Unsure(texts={}, guesses={})

    async def gather() -> Unsure:
        texts = texts_by_id(corpus)
        left = [each for each in routed if each.by == "nobody" and texts[each.id].strip()]
        return Unsure(
            texts={each.id: texts[each.id] for each in left},
            guesses={each.id: (each.guess, each.confidence) for each in left},
        )

    return await once("unsure", gather, Unsure)


def reviews_of(request: RouteRequest, specialist: Specialist, left: Unsure) -> list[Reviewable]:
    """The reviews that decide on them, each on a batch."""
    ids = [*left.texts]
    packs = [ids[start : start + request.batch] for start in range(0, len(ids), request.batch)]
    return [
        Reviewable(
            Subject(
                title=f"Labels of {len(pack)} texts",
                kind=f"{KIND}{specialist.name}",
                policy=POLICY,
                author=request.requester,
            ),
            partial(_draft, labels_of(specialist), left, pack),
            step=f"labels-{number}",
            final=True,
        )
        for number, pack in enumerate(packs, 1)
    ]


def with_people(
    routed: Sequence[Routed],
    corpus: Corpus,
    left: Unsure,
    outcomes: Sequence[Released | Refused],
) -> list[Routed]:
    """What was routed, with what people have decided on the very texts that they saw: a source may
    have changed while the run slept."""
    texts = texts_by_id(corpus)
    labels = {
        name: label
        for each in outcomes
        if isinstance(each, Released)
        for name, label in read_labels(each.text).items()
        if texts.get(name) == left.texts[name]
    }
    return [
        each.model_copy(update={"label": labels[each.id], "by": "person"})
        if each.id in labels
        else each
        for each in routed
    ]


async def _draft(
    allowed: list[str], left: Unsure, pack: Sequence[str], rejections: tuple[Rejection, ...]
) -> Draft:
    texts = {each: left.texts[each] for each in pack}
    return Draft(
        text=label_text({each: left.guesses[each][0] for each in pack}),
        shown=label_markdown(texts, left.guesses),
        material=f"The labels there are: {', '.join(allowed)}",
        inputs=label_inputs(texts, allowed),
    )
