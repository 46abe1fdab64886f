import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.caching import answer_through_cache, tend_cache
from infra.settings import get_settings
from tasks.answers import NamedPrompt
from tests.endpoint import ScriptedEndpoint

pytestmark = pytest.mark.usefixtures("database")

ASKED = NamedPrompt(prompt="answer_briefly", inputs={"question": "How do I reset my password?"})


async def test_a_miss_is_asked_and_kept_and_then_a_hit(endpoint: ScriptedEndpoint) -> None:
    first, second = await answer_through_cache(ASKED), await answer_through_cache(ASKED)
    assert (first.served_by, second.served_by) == ("model", "exact")
    assert first.reply == second.reply
    assert len(endpoint.calls) == 1


async def test_upkeep_drops_what_is_above_the_limit_and_leaves_a_report(
    endpoint: ScriptedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    await answer_through_cache(ASKED)
    await answer_through_cache(ASKED.model_copy(update={"tenant": "acme"}))
    monkeypatch.setenv("PATTERNS_CACHE_ENTRIES", "1")
    get_settings.cache_clear()
    upkeep = await tend_cache()
    assert (upkeep.tended.above_limit, upkeep.stock.entries) == (1, 1)
    async with get_client() as client:
        [report] = await client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["cache-upkeep"]))
        )
    assert "| Misses | 2 (100.0%) |" in str(report.data)
    assert r"| answer\_briefly |" in str(report.data)
