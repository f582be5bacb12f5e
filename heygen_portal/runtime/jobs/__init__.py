"""Celery tasks: their event loop, schedule, orderly end and claims of due rows."""
