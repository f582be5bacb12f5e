"""Queues of jobs. `heygen_portal/celery.py` says which job goes where."""

LIMITS = "limits"
"""Only the job that stops due sessions. A worker of its own consumes it, which nothing else can block."""
DEFAULT = "celery"
"""Short jobs: bookkeeping, records, reconciliation."""
LONG = "long"
"""Jobs that may take minutes or hours. They continue where they were after a restart."""
ALL = (LIMITS, DEFAULT, LONG)

TIME_LIMIT_S = 15 * 60
"""A job that takes longer is killed with its process. Longer ones say so where they are defined."""
LONG_TIME_LIMIT_S = 6 * 3600
