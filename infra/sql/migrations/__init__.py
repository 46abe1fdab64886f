"""Steps of the schema: each a file of SQL, and the revision beside it that Alembic knows."""

from pathlib import Path

from alembic import op


def run_beside(revision: str) -> None:
    """Run the SQL file that lies beside a revision's file."""
    statements = Path(revision).with_suffix(".sql").read_text(encoding="utf-8")
    # As they stand: neither a colon nor a percent sign is a parameter.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})
