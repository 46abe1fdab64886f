"""Comparison of patterns: the same questions through each, in one table, to choose one by.

    questions → prompt · RAG · agent · controller · specialist → checks, ledger → table and plot
                 └ each twice: without the cache, and again with it ┘

Use it before a pattern is built upon, on questions as its users ask them. It costs what all of them
cost together: of each pattern one answer a question, since the second one comes from the cache. All
that is said of calls, tokens and cost comes from the ledger; what is right is told by code.
"""

from prefect import flow

from flows.agentic_workflow import work_on_task
from flows.controller import pursue_goal
from flows.prompt_service import answer_prompt
from flows.rag import answer_question
from flows.tools import offered_tools
from tasks.answers import PromptRequest
from tasks.cited_answers import QuestionRequest
from tasks.classifying import ClassifyRequest, classify
from tasks.goals import GoalRequest
from tasks.pattern_comparison import PatternsCompared, chosen_patterns, require_answers, summed_up
from tasks.pattern_comparison_report import publish_patterns
from tasks.pattern_questions import (
    Pattern,
    PatternQuestion,
    PatternsRequest,
    load_questions,
    require_one_input,
)
from tasks.pattern_tries import Said, Way, said_by_documents, tried
from tasks.progress import progress
from tasks.runs import charged
from tasks.task_plans import TaskRequest


@flow(name="compare-patterns", persist_result=True)
async def compare_patterns(request: PatternsRequest) -> PatternsCompared:
    """Compare patterns on questions: how good, how quick, how dear, with and without the cache."""
    async with charged():
        questions = load_questions(request)
        not_run, specialist = await chosen_patterns(request, questions)
        request = request.model_copy(update={"specialist": specialist})
        patterns = [each for each in request.patterns if each not in not_run]
        tries = []
        async with progress("Answers", len(questions) * len(patterns)) as asking:
            for question in questions:
                for pattern in patterns:
                    tries += await tried(request, question, pattern, WAYS[pattern], asking)
        compared = await summed_up(questions, not_run, tries)
        await publish_patterns(compared)
    require_answers(compared)
    return compared


async def by_prompt(request: PatternsRequest, question: PatternQuestion) -> Said:
    """What a named prompt answers."""
    inputs = {require_one_input(request.prompt): question.text}
    answer = await answer_prompt.fn(PromptRequest(prompt=request.prompt, inputs=inputs))
    return Said(answer=answer.reply)


async def by_rag(request: PatternsRequest, question: PatternQuestion) -> Said:
    """What the documents of the collection answer."""
    asked = QuestionRequest(question=question.text, collection=str(request.collection))
    return said_by_documents(await answer_question.fn(asked))


async def by_agent(request: PatternsRequest, question: PatternQuestion) -> Said:
    """What an agent answers with tools that only read: nobody is there to approve a write."""
    minutes = request.max_minutes
    asked = TaskRequest(task=question.text, tools=await reading_tools(), max_minutes=minutes)
    return Said(answer=(await work_on_task.fn(asked)).answer)


async def by_controller(request: PatternsRequest, question: PatternQuestion) -> Said:
    """What a workflow answers that a model has chosen or planned, of such tools."""
    calls = request.max_model_calls
    asked = GoalRequest(goal=question.text, tools=await reading_tools(), max_model_calls=calls)
    return Said(answer=(await pursue_goal.fn(asked)).answer)


async def by_specialist(request: PatternsRequest, question: PatternQuestion) -> Said:
    """The label that the specialist gives, or a model where it is not sure."""
    found = await classify(ClassifyRequest(text=question.text, name=request.specialist))
    return Said(answer=found.label, knows=not found.abstained)


async def reading_tools() -> tuple[str, ...]:
    """The names of the tools that write nothing."""
    return tuple(name for name, each in (await offered_tools()).items() if not each.writes)


WAYS: dict[Pattern, Way] = {
    "prompt": by_prompt,
    "rag": by_rag,
    "agent": by_agent,
    "controller": by_controller,
    "specialist": by_specialist,
}
