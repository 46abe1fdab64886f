import pytest

from flows.prompt_service import answer_prompt
from infra.errors import InputError
from tasks.answers import PromptRequest
from tests.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def _reply(endpoint: ScriptedEndpoint) -> None:
    endpoint.answer = lambda body, n: (
        '{"category": "billing", "urgency": "low", "summary": "A refund."}'
    )


async def test_a_reply_comes_with_all_there_is_to_know_about_it(
    endpoint: ScriptedEndpoint,
) -> None:
    request = PromptRequest(prompt="classify_ticket", inputs={"ticket": "Charged twice"})
    first, second = await answer_prompt(request), await answer_prompt(request)
    assert '"billing"' in first.reply
    assert (first.prompt, first.served_by, first.released_by) == ("classify_ticket", "model", None)
    assert (second.reply, second.served_by) == (first.reply, "exact")
    assert len(endpoint.calls) == 1


async def test_an_unknown_prompt_is_refused_before_a_model_is_asked(
    endpoint: ScriptedEndpoint,
) -> None:
    with pytest.raises(InputError, match="There is no prompt 'guess'"):
        await answer_prompt(PromptRequest(prompt="guess"))
    assert endpoint.calls == []
