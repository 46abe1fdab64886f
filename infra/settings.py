"""Settings: one frozen class, read lazily from ``PATTERNS_*`` variables; nobody else reads them."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettings

from infra.errors import SettingsError
from infra.review_policy import ReviewPolicy

Role = Literal["fast", "strong"]

LOCAL_CHAT_MODEL = "local:qwen2.5-coder-1.5b-instruct"
LOCAL_EMBEDDING_MODEL = "local:all-minilm-l6-v2"


class Settings(BaseSettings):
    """Every setting of the project. A model is named ``provider:model``."""

    model_config = SettingsConfigDict(
        env_prefix="PATTERNS_", env_ignore_empty=True, frozen=True, populate_by_name=True
    )

    home: Path = Field(
        default_factory=lambda: user_data_path("patterns"),
        description="Data directory: embedded PostgreSQL, Prefect's data, model files, reports.",
    )
    assets: Path | None = Field(
        None,
        description="Directory of fetched model files and binaries. Unset: assets in the home.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL with pgvector, as a URL. Unset: an embedded one is started.",
    )
    database_connections: int = Field(
        4, ge=1, le=64, description="Most database connections of one process."
    )

    source_database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL that SQL sources are read from. Unset: the project's own.",
    )

    chat_model: str = Field(
        LOCAL_CHAT_MODEL,
        pattern=r"^[a-z_]+:.+$",
        description="Chat model of every role, as provider:model. local: is the embedded one.",
    )
    fast_model: str | None = Field(
        None, pattern=r"^[a-z_]+:.+$", description="Model of the role fast, if another."
    )
    strong_model: str | None = Field(
        None, pattern=r"^[a-z_]+:.+$", description="Model of the role strong, if another."
    )
    chat_base_url: str | None = Field(
        None, description="Base URL of an OpenAI-compatible endpoint, such as http://host:8000/v1."
    )
    chat_api_key: SecretStr | None = Field(
        None, description="Key of the chat endpoint. Unset: the provider's own variable decides."
    )
    chat_context_tokens: int | None = Field(
        None, ge=1024, description="Context length of the chat model. Unset: 8192."
    )
    chat_slots: int | None = Field(
        None,
        ge=1,
        description="Most calls in flight to one model, over all processes. Unset: 128, local 2.",
    )
    chat_requests_per_minute: int | None = Field(
        None, ge=1, description="Request rate of the chat endpoint, over all processes."
    )
    chat_tokens_per_minute: int | None = Field(
        None, ge=1, description="Token rate of the chat endpoint, over all processes."
    )
    chat_timeout: float = Field(60.0, gt=0, description="Seconds to wait for one reply.")
    prices: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description='USD per million tokens in and out: {"openai:gpt-5-mini": [0.25, 2.0]}.',
    )

    max_wrong_hits: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Most wrong answers of the semantic cache, a share of requests; 0: it is off.",
    )
    cache_check_share: float = Field(
        0.05, gt=0, le=1, description="Share of semantic hits that are checked against the model."
    )
    cache_days: float | None = Field(
        None, gt=0, description="Days that a kept reply may be given for. Unset: for ever."
    )
    cache_entries: int | None = Field(
        None, ge=1, description="Most kept replies; upkeep evicts the least used. Unset: no limit."
    )

    prompt_label: str | None = Field(
        None,
        description="Label of the prompt versions to use, such as production. Unset: the files.",
    )

    reviewers: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='Who may review, with roles: {"Ann": ["support"]}. Unset: any name will do.',
    )
    review_policies: dict[str, ReviewPolicy] = Field(
        default_factory=dict,
        description='How drafts are reviewed: {"default": {"people": 2, "codes": true}}.',
    )
    review_webhook: SecretStr | None = Field(
        None, description="URL that is told of each review that waits. It gets no draft."
    )

    proposer_role: str = Field(
        "patterns_proposer",
        min_length=1,
        max_length=63,
        description="PostgreSQL role that reads records for the model's side of guarded writes.",
    )
    applier_role: str = Field(
        "patterns_applier",
        min_length=1,
        max_length=63,
        description="PostgreSQL role that applies approved changes, and nothing else.",
    )

    reader_url: SecretStr | None = Field(
        None,
        description="PostgreSQL that the SQL tools read, as a role that can only read. Unset: the "
        "embedded one.",
    )

    tools: tuple[str, ...] = Field(
        (),
        description='Modules of further tools for agents and workflows: ["company.tools"].',
    )
    tool_calls: Literal["native", "schema"] | None = Field(
        None,
        description="How a model asks for tools: natively, or by a JSON schema. Unset: by schema "
        "for the embedded model, natively for others.",
    )
    http_hosts: tuple[str, ...] = Field(
        (),
        description='Hosts that the HTTP tools may speak to: ["api.example.com"]. Unset: none.',
    )

    http_token: SecretStr | None = Field(
        None,
        min_length=8,
        description="Bearer token of the HTTP service. Unset: one is made, and kept in the home.",
    )

    local_model: Path | None = Field(
        None, description="GGUF file to use in place of the embedded chat model."
    )
    embedding_model: str = Field(
        LOCAL_EMBEDDING_MODEL,
        pattern=r"^[a-z_]+:.+$",
        description="Embedding model, as provider:model. local: is the embedded one.",
    )

    def review_policy(self, name: str) -> ReviewPolicy:
        """The policy of that name, else the default one.

        Raises SettingsError for one by which too few of the reviewers could decide.
        """
        policies = self.review_policies
        policy = policies.get(name) or policies.get("default") or ReviewPolicy()
        for roles in (policy.roles, policy.escalate_to):
            able = [
                each for each, held in self.reviewers.items() if not roles or {*held} & {*roles}
            ]
            if (roles or self.reviewers) and len(able) < policy.people:
                raise SettingsError(
                    f"The review policy {name} needs {policy.people} of PATTERNS_REVIEWERS"
                    + (f" with a role of: {', '.join(roles)}" if roles else "")
                    + f", and there are {len(able)}. Name more there, or give them the role."
                )
        return policy

    @property
    def cache_ttl(self) -> float | None:
        """Seconds that a kept reply may be given for; None for ever."""
        return None if self.cache_days is None else self.cache_days * 86_400


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once.

    Raises SettingsError naming each variable that does not fit.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(
            f"PATTERNS_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()
        )
        raise SettingsError(f"{faults}. Mend the variable and try again.") from None
    except UnreadableSettings as error:  # its message names the field
        [field] = re.findall(r'field "(\w+)"', str(error))
        raise SettingsError(
            f"PATTERNS_{field.upper()} is not JSON. See .env.example for its form."
        ) from None
