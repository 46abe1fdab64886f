"""Retrieval: collections of documents, cut into passages, in indexes that have versions."""

from infra.sql.migrations import run_beside

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_beside(__file__)
