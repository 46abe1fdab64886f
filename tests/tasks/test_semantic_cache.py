"""Questions that were asked before in other words."""

import asyncio
from collections.abc import Sequence

import pytest

from infra.llm import close_door
from infra.postgres import fetch, transaction
from infra.settings import get_settings
from infra.sql import queries
from tasks.asking import ask, cached
from tasks.hit_checks import make_checks
from tasks.prompts import load_prompt
from tasks.semantic_cache import lesson_of, observe, relearn, same_answer
from tasks.thresholds import Certified, learn
from tests.endpoint import Body, Fault, ScriptedEndpoint, user_text

pytestmark = pytest.mark.usefixtures("database")

NAME = "answer_briefly"
MODEL = "openai:scripted"
FIRST = {"question": "How do I reset my password?"}
AGAIN = {"question": "How can I reset my password?"}


@pytest.fixture(autouse=True)
def _scripted(endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_CACHE_CHECK_SHARE", "1")
    get_settings.cache_clear()
    endpoint.answer = lambda body, n: "Use the link on the sign-in page."


async def lesson(model: str = MODEL) -> int:
    return await lesson_of(NAME, load_prompt(NAME).version, model)


async def certify(questions: int = 500) -> None:
    """Let the cache have seen that many similar questions, whose stored reply was right."""
    taught = await lesson()
    async with (
        transaction() as connection,
        connection.cursor().copy(queries()["copy_observations"]) as copy,
    ):
        for _ in range(questions):
            await copy.write_row((taught, 0.8, True, "pair"))
    await relearn(taught)


async def state() -> tuple[str, float | None]:
    [row] = await fetch("lesson_state", {"lesson": await lesson()})
    return row["state"], row["threshold"]


async def test_before_anything_is_certified_every_question_goes_to_the_model(
    endpoint: ScriptedEndpoint,
) -> None:
    await ask(NAME, FIRST)
    assert (await ask(NAME, AGAIN)).served_by == "model"
    assert len(endpoint.calls) == 2


async def test_a_question_in_other_words_gets_the_reply_of_then(endpoint: ScriptedEndpoint) -> None:
    first = await ask(NAME, FIRST)
    await certify()
    again = await ask(NAME, AGAIN)
    assert (again.served_by, again.text, again.cost_usd) == ("semantic", first.text, 0.0)
    assert len(endpoint.calls) == 1
    assert (await cached(NAME, AGAIN)) is not None


@pytest.mark.parametrize(
    "other",
    [
        "How do I not reset my password?",
        "How do I reset my password in 5 days?",
        "How do I set my password?",
        "How do I reset my Google password?",
        "What is the weather like?",
    ],
)
async def test_another_question_does_not(endpoint: ScriptedEndpoint, other: str) -> None:
    await ask(NAME, FIRST)
    await certify()
    assert (await ask(NAME, {"question": other})).served_by == "model"


async def test_nobody_gets_the_reply_of_another_tenant_corpus_or_model() -> None:
    await ask(NAME, FIRST, tenant="acme")
    await certify()
    assert (await ask(NAME, AGAIN)).served_by == "model"
    assert (await ask(NAME, FIRST, tenant="other")).served_by == "model"
    assert (await ask(NAME, AGAIN, tenant="acme", corpus="v2")).served_by == "model"
    assert (await ask(NAME, AGAIN, tenant="acme")).served_by == "semantic"


async def test_a_new_sample_or_a_bound_of_nothing_asks_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ask(NAME, FIRST)
    await certify()
    assert (await ask(NAME, AGAIN, attempt=1)).served_by == "model"
    monkeypatch.setenv("PATTERNS_MAX_WRONG_HITS", "0")
    get_settings.cache_clear()
    assert (await ask(NAME, AGAIN)).served_by == "model"


async def test_a_prompt_that_is_no_question_has_exact_hits_only() -> None:
    assert load_prompt("classify_ticket").question is None
    assert await cached("classify_ticket", {"ticket": "Export hangs"}) is None


async def test_misses_teach_what_would_have_been_right(endpoint: ScriptedEndpoint) -> None:
    await ask(NAME, FIRST)
    await ask(NAME, AGAIN)
    endpoint.answer = lambda body, n: "Ask your administrator."
    await ask(NAME, {"question": "How could I reset my password?"})
    seen = await fetch("observations", {"lesson": await lesson(), "most": 10})
    assert [(row["similarity"] is None, row["was_right"]) for row in seen] == [
        (False, True),
        (False, False),
    ]


async def test_hits_are_checked_and_switch_themselves_off_when_they_are_wrong(
    endpoint: ScriptedEndpoint,
) -> None:
    await ask(NAME, FIRST)
    await certify()
    assert (await state())[0] == "on"
    endpoint.answer = lambda body, n: f"Something else: {user_text(body)}"
    for number in range(12):
        words = ["please", "now", "today", "again", "here", "there"][number % 6]
        asked = {"question": f"How can I{' really' * (number // 6)} reset my password {words}?"}
        assert (await ask(NAME, asked)).served_by == "semantic"
    assert await make_checks() == 12
    assert (await state()) == ("off", None)
    assert (await ask(NAME, AGAIN)).served_by == "model"


async def test_a_check_that_cannot_be_made_now_is_made_later(endpoint: ScriptedEndpoint) -> None:
    await ask(NAME, FIRST)
    await certify()
    await ask(NAME, AGAIN)
    await close_door()

    def refused(body: Body, n: int) -> str:
        raise OSError

    endpoint.answer, works = refused, endpoint.answer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infra.llm._pause", lambda tries, error: 0.0)
        with pytest.raises(Exception, match=r"does not answer"):
            await make_checks()
    endpoint.answer = works
    assert await make_checks() == 1
    assert await make_checks() == 0
    right = (await fetch("observations", {"lesson": await lesson(), "most": 1}))[0]
    assert (right["source"], right["was_right"]) == ("check", True)


async def test_a_check_whose_maker_died_is_made_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ask(NAME, FIRST)
    await certify()
    await ask(NAME, AGAIN)
    assert len(await fetch("take_checks", {"most": 20, "lease": 0.5})) == 1
    assert await make_checks() == 0
    await asyncio.sleep(0.6)
    assert await make_checks() == 1


async def test_a_check_that_cannot_be_made_is_no_reason_not_to_make_the_others(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(NAME, FIRST)
    await certify()
    monkeypatch.setattr("tasks.hit_checks._AT_ONCE", 1)
    for word in ("now", "today"):
        await ask(NAME, {"question": f"How can I reset my password {word}?"})
    refused = Fault(400, message="no")
    endpoint.answer = lambda body, n: refused if "now" in user_text(body) else "Use the link."
    assert await make_checks() == 1
    assert await make_checks() == 0


async def test_another_embedders_vectors_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(NAME, FIRST)
    monkeypatch.setattr("tasks.semantic_cache.embedder_name", lambda: "other@1")
    await certify()  # what the other embedder's similarities are worth
    assert (await ask(NAME, AGAIN)).served_by == "model"
    assert (await ask(NAME, {"question": "How could I reset my password?"})).served_by == "semantic"


async def test_a_bound_that_is_lowered_holds_from_the_next_question_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await ask(NAME, FIRST)
    await certify()
    monkeypatch.setenv("PATTERNS_MAX_WRONG_HITS", "0.001")  # 500 questions do not certify it
    get_settings.cache_clear()
    assert (await ask(NAME, AGAIN)).served_by == "model"
    assert await state() == ("off", None)


async def test_each_lesson_is_learned_from_its_own_observations_alone() -> None:
    other = await lesson("openai:other")
    await certify()
    for _ in range(15):
        await observe(other, 0.85, was_right=False, source="check")
    assert (await state())[0] == "on"
    [row] = await fetch("lesson_state", {"lesson": other})
    assert (row["state"], row["threshold"]) == ("learning", None)


async def test_every_twentieth_observation_of_a_lesson_teaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned: list[int] = []

    def noted(similar: Sequence[float | None], right: Sequence[bool], bound: float) -> Certified:
        learned.append(len(right))
        return learn(similar, right, bound)

    monkeypatch.setattr("tasks.semantic_cache.learn", noted)
    one, other = await lesson(), await lesson("openai:other")
    for number in range(40):
        await observe(one, 0.9, was_right=True, source="miss")
        if number % 2:
            await observe(other, None, was_right=True, source="miss")
    assert learned == [20, 40, 20]


async def test_wrong_hits_observed_lately_outweigh_a_good_past() -> None:
    await certify(3900)
    taught = await lesson()
    for _ in range(15):
        await observe(taught, 0.85, was_right=False, source="check")
    assert (await state()) == ("off", None)
    # What was observed before does not come back: it is learned anew.
    assert (await relearn(taught)).requests < 15


@pytest.mark.parametrize("text", ["", "How do I\0 reset my password?", "reset " * 500])
async def test_any_question_is_answered(text: str) -> None:
    assert (await ask(NAME, {"question": text})).served_by == "model"
    assert (await ask(NAME, {"question": text})).served_by == "exact"


@pytest.mark.parametrize("text", ["", "reset " * 500])
async def test_an_empty_or_endless_question_is_like_no_other(text: str) -> None:
    await ask(NAME, {"question": text})
    await certify()
    assert await cached(NAME, {"question": f"{text} "}) is None
    assert (await ask(NAME, {"question": f"{text} "})).served_by == "model"


async def test_unrelated_questions_certify_nothing() -> None:
    for word in ["moon", "bread", "tax", "goal", "rain"]:
        await ask(NAME, {"question": f"What is {word}?"})
    seen = await fetch("observations", {"lesson": await lesson(), "most": 10})
    assert len(seen) < 5
    assert (await relearn(await lesson())).threshold is None


async def test_a_hundred_questions_at_once_are_asked_once(endpoint: ScriptedEndpoint) -> None:
    endpoint.latency = 0.2
    replies = await asyncio.gather(*(ask(NAME, FIRST) for _ in range(100)))
    assert len(endpoint.calls) == 1
    assert {reply.text for reply in replies} == {"Use the link on the sign-in page."}


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Use  the link.", "Use the\nlink.", True),
        (
            '{"label": "bug", "why": "it is broken now"}',
            '{"label": "bug", "why": "now it is broken"}',
            True,
        ),
        ('{"label": "bug", "n": 1}', '{"label": "bug", "n": 2}', False),
        ('{"label": "bug"}', '{"label": "billing"}', False),
        ("You can do so within 5 days.", "You can do so within 50 days.", False),
        ("Use the link on the sign-in page.", "Click the link on the sign-in page.", True),
        ("Use the link on the sign-in page.", "The moon is far away.", False),
        ('"text"', "[1]", False),
    ],
)
async def test_replies_say_the_same_when_all_but_their_prose_is_equal(
    a: str, b: str, same: bool
) -> None:
    assert await same_answer(a, b) is same
