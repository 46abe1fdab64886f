"""The foundation: model calls, ledger, durable steps, corpora, facts, codebooks."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    statements = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    # As they stand: neither a colon nor a percent sign is a parameter.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
