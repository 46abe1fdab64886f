"""The patterns, one flow file each: orchestration only."""

import tasks  # noqa: F401  (first: it settles how Prefect behaves)
