"""What workers and beat run on: the loop of Celery tasks, the schedule, an orderly end, and claims of due rows."""
