import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.caching import report_costs
from infra.settings import get_settings
from tasks.asking import ask
from tasks.cost_report import CostRequest
from tests.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")


async def artifact() -> str:
    """The newest report of costs that was left."""
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["costs"]))
        )
    return str(max(found, key=lambda each: str(each.created)).data)


async def test_the_report_of_costs_is_left_as_an_artifact(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATTERNS_PRICES", '{"openai:scripted": [1000, 1000]}')
    get_settings.cache_clear()
    for _ in range(3):
        await ask("classify_ticket", {"ticket": "Charged twice"})
    report = await report_costs(CostRequest(by="model", days=1))
    [found] = report.rows
    assert (found.of, found.model_calls, found.cache_hits) == ("openai:scripted", 1, 2)
    shown = await artifact()
    assert f"They cost **{found.cost_usd:.4f} USD**" in shown
    assert f"The cache saved {2 * (found.cost_usd or 0):.4f} USD" in shown
    assert "(data:image/png;base64," in shown
    assert len(endpoint.calls) == 1


async def test_a_report_of_no_calls_says_so() -> None:
    assert (await report_costs(CostRequest())).rows == ()
    assert (await artifact()).startswith("No model was called from ")
