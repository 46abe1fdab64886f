"""Guarded writes: roles that may read and change what is allowed, rules, and what was changed."""

from alembic import op

from infra.settings import get_settings
from infra.sql.migrations import run_beside

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_beside(__file__)
    settings = get_settings()
    for role in (settings.proposer_role, settings.applier_role):
        # Without the right to make roles, none is made: `patterns doctor` then says what to run.
        op.get_bind().exec_driver_sql("select patterns.try_role(%s)", (role,))
