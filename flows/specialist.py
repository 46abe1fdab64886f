"""Fine-tuned specialist: a small model that answers the one thing it knows, and how surely.

    labelled texts → train small model → evaluate → a person approves → serve
    text → specialist, where it is sure → general model → person, where both are not
                └──────── what people decide is learned from ────────┘

Use it for one question that is asked thousands of times and has been answered by people a few
hundred times: where a ticket belongs. It costs minutes of training on two cores, and a few
milliseconds a text, no call of a model; what it is not sure of costs what the general model takes.
"""

from prefect import flow

from tasks.label_drift import Drift, DriftRequest, drift, publish_drift
from tasks.label_reviews import gathered, require_ready, reviews_of, with_people
from tasks.progress import progress
from tasks.review_output import review_all
from tasks.routing import (
    RouteRequest,
    chosen_specialist,
    decided_by_model,
    decided_by_specialist,
    load_texts,
    unsure,
)
from tasks.routing_results import RoutingDone, keep_decisions, publish_routing, require_answered
from tasks.runs import charged
from tasks.specialist_comparison import (
    Comparison,
    ComparisonRequest,
    compared,
    require_better,
)
from tasks.specialist_promotion import PromotionDone, approved, promote, require_approvable
from tasks.specialist_report import publish_comparison, publish_specialist
from tasks.specialist_retraining import Retrained, RetrainingRequest, lesson_of, retrained
from tasks.specialist_training import TrainingRequest, labelled, train
from tasks.specialists import Specialist


@flow(name="train-specialist", persist_result=True)
async def train_specialist(request: TrainingRequest) -> Specialist:
    """Train a specialist on labelled texts, calibrate it, measure it, and register it."""
    async with charged():
        specialist = await train(request, await labelled(request))
        await publish_specialist(specialist)
    return specialist


@flow(name="evaluate-specialist")
async def evaluate_specialist(request: ComparisonRequest) -> Comparison:
    """Hold a specialist against the one that serves, on texts that neither has learned from."""
    async with charged():
        found = await compared(request)
        await publish_comparison(found)
    return found


@flow(name="promote-specialist", persist_result=True)
async def promote_specialist(request: ComparisonRequest) -> PromotionDone:
    """Let a specialist serve that is better than the one that does, once a person approves it."""
    require_approvable()
    async with charged():
        found = await compared(request)
        await publish_comparison(found)
        require_better(found)
        return await promote(await approved(found, request.requester))


@flow(name="retrain-specialist", persist_result=True)
async def retrain_specialist(request: RetrainingRequest) -> Retrained:
    """Train a challenger on what people have decided since, and propose it where it is better."""
    require_approvable()
    async with charged():
        lesson = await lesson_of(request)
        if lesson.new < request.fewest:
            return retrained(lesson)
        challenger = await train(lesson.request, lesson.examples)
        await publish_specialist(challenger)
        found = await compared(ComparisonRequest(specialist=challenger.id))
        await publish_comparison(found)
        if not found.is_better:
            return retrained(lesson, found)
        return retrained(lesson, found, await promote(await approved(found, request.requester)))


@flow(name="route-tickets", persist_result=True)
async def route_tickets(request: RouteRequest) -> RoutingDone:
    """Label texts: the specialist what it is sure of, a model the rest, people what is left."""
    require_ready(request)
    async with charged(request.budget()):
        specialist, corpus = await chosen_specialist(request), await load_texts(request)
        async with progress("Reading texts", len(corpus.records)) as reading:
            routed = await decided_by_specialist(specialist, corpus, reading)
        if request.fallback:
            async with progress("Asking a model", unsure(routed, corpus)) as asking:
                routed = await decided_by_model(routed, corpus, asking)
        left = await gathered(request, routed, corpus)
        outcomes = await review_all(reviews_of(request, specialist, left))
        routed = with_people(routed, corpus, left, outcomes)
        done = await keep_decisions(request, specialist, corpus, routed)
        await publish_routing(done)
    require_answered(done)
    return done


@flow(name="report-drift")
async def report_drift(request: DriftRequest) -> Drift:
    """Report by week whether what comes in is still what the specialist was trained on."""
    async with charged():
        found = await drift(request)
        await publish_drift(found)
    return found
