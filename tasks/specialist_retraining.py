"""The loop: what people have decided since becomes what the next specialist learns from."""

from prefect import task
from pydantic import BaseModel, ConfigDict, Field

from infra import fine_tuning
from infra.classifier_recipe import Recipe
from infra.errors import InputError
from infra.fine_tuning import Device
from tasks.labelled_texts import Example, Examples, fit
from tasks.people_labels import labels_of_people
from tasks.runs import RETRIED
from tasks.specialist_comparison import Comparison
from tasks.specialist_promotion import PromotionDone
from tasks.specialist_serving import champion, known_name
from tasks.specialist_training import TrainingRequest
from tasks.specialists import Specialist, read_examples


class RetrainingRequest(BaseModel):
    """Whose specialist learns anew, from its own texts and what people have decided since."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(
        None,
        description="Whose specialist. Empty: the only name there is.",
        json_schema_extra={"position": 0},
    )
    fewest: int = Field(
        20,
        ge=1,
        description="New labels below which it is not worth it.",
        json_schema_extra={"position": 1},
    )
    requester: str = Field(
        "",
        description="Who asks for it: somebody else has to approve the promotion.",
        json_schema_extra={"position": 2},
    )
    device: Device = Field("auto", description="auto: a GPU where there is one.")
    recipe: Recipe | None = Field(None, description="Empty: that of the one that serves.")


class Retrained(BaseModel):
    """What a retraining came to. ``new``: labels of people that the champion has not learned from;
    ``specialist``: the challenger, None where there were too few; ``serves``: whether it does now;
    ``why``: it does not."""

    model_config = ConfigDict(frozen=True)

    name: str
    new: int
    champion: int
    specialist: int | None = None
    serves: bool = False
    why: str = ""


class Lesson(BaseModel):
    """What a challenger is trained with, and on."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    champion: Specialist
    request: TrainingRequest
    examples: Examples
    new: int


@task(name="gather labels", **RETRIED)
async def lesson_of(request: RetrainingRequest) -> Lesson:
    """The champion's texts, and what people have decided since, whose word holds where they differ.

    Raises InputError where nobody serves, SettingsError where nothing can be trained.
    """
    fine_tuning.require_training(request.device)
    name = await known_name(request.name)
    holder = await champion(name)
    if holder is None:
        raise InputError(f"No specialist for {name} serves. Promote one first.")
    known = {each.key: each for items in read_examples(holder).values() for each in items}
    said = {each.key: each for each in await labels_of_people(name, holder.none)}
    new = [each for key, each in said.items() if _is_new(each, known.get(key))]
    examples = fit(holder.source, (known | said).values())
    return Lesson(
        champion=holder,
        request=TrainingRequest(
            source=holder.source,
            name=name,
            outside=holder.none,
            target_accuracy=holder.card.target,
            encoder=holder.card.encoder,
            teacher=holder.card.teacher,
            device=request.device,
            recipe=request.recipe or holder.card.recipe,
        ),
        examples=examples,
        new=len(new),
    )


def _is_new(said: Example, known: Example | None) -> bool:
    return known is None or known.label != said.label


def retrained(
    lesson: Lesson, found: Comparison | None = None, done: PromotionDone | None = None
) -> Retrained:
    """What it came to: too little is new, a challenger that is no better, or one that serves."""
    why = ""
    if found is None:
        why = f"People have decided {lesson.new} labels since: too few."
    elif done is None:
        why = f"The challenger is no better: {100 * found.difference:+.1f} points."
    return Retrained(
        name=lesson.request.name,
        new=lesson.new,
        champion=lesson.champion.id,
        specialist=found.challenger.specialist if found else None,
        serves=done is not None,
        why=why,
    )
