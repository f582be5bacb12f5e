"""What the portal counts and measures in each process, for Prometheus.

Labels have few values, which the code lists: never an ID, a name, an address or speech. docs/monitoring.md describes
each metric; a test compares the two.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

registry = CollectorRegistry()
ProcessCollector(registry=registry)  # processor time, memory, open files

# Bounds of histograms, in seconds.
CALLS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STARTS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 60)
TURNS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
WAITS = (1, 5, 15, 30, 60, 120, 300, 600, 1800)
LATENESS = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)
JOBS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 600, 3600)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(f"portal_{name}", meaning, labels, registry=registry)


def _histogram(name: str, meaning: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"portal_{name}", meaning, labels, buckets=bounds, registry=registry)


# Sessions
session_starts = _counter("session_starts", "Sessions that took a slot.")
session_ends = _counter("session_ends", "Sessions that ended, by reason.", "reason")
first_frame = _histogram("first_frame_seconds", "From taking a slot to the first frame.", STARTS)
turns = _histogram("turn_seconds", "From the end of a user's words to the avatar's first sound.", TURNS)
queue_wait = _histogram("queue_wait_seconds", "Wait in the queue until a slot was free.", WAITS)
events = _counter("events", "Events recorded, by kind.", "kind")
texts = _counter("texts", "Texts for the avatar, by outcome.", "outcome")
budget_refusals = _counter("budget_refusals", "Requests refused because a budget was used up.", "budget")
sockets = Gauge("portal_sockets", "Open sockets of pages.", registry=registry)

# Providers
provider_calls = _counter("provider_calls", "Calls of a provider, by outcome.", "provider", "call", "outcome")
provider_call_time = _histogram("provider_call_seconds", "Time of calls of a provider.", CALLS, "provider", "call")

# Webhooks: every attempt, and what became of each delivery in the end
webhook_attempts = _counter("webhook_attempts", "Attempts to send to a webhook, by outcome.", "outcome")
webhook_attempt_time = _histogram("webhook_attempt_seconds", "Time of these attempts.", CALLS)
webhook_deliveries = _counter("webhook_deliveries", "Deliveries that ended, by state.", "state")

# Jobs
# The label is not called "job", which is Prometheus' own.
jobs = _counter("jobs", "Jobs that ran, by outcome.", "name", "outcome")
job_time = _histogram("job_seconds", "Time of jobs.", JOBS, "name")
ticks = _counter("ticks", "Times that beat looked for due jobs.")
job_lateness = _histogram("job_lateness_seconds", "How late beat sent a job.", LATENESS)
deadline_lateness = _histogram("deadline_lateness_seconds", "How late a session's deadline was enforced.", LATENESS)
