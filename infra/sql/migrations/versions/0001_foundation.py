"""The foundation: model calls, ledger, durable steps, corpora, facts, codebooks."""

from infra.sql.migrations import run_beside

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_beside(__file__)
