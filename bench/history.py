"""Page times with 1,000 sessions and with 1,000,000 sessions.

The longer history has 10,000,000 events.

PostgreSQL, one server with two databases, both with a thousand sessions a day; the longer history has more days. Django
answers in this process, as an administrator. The databases alternate, so that both get the same conditions, and every
page has the same number of rows. Each user has 100 sessions, so the transcript search tries the keys of 10 users in one
database and of 10,000 in the other. It is compared with the former search, which used one key for all users.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import django
import psycopg

from tests.support import servers

FEW_SESSIONS = 1000
ROUNDS = 15
SETTINGS = ("shared_buffers=512MB", "maintenance_work_mem=256MB", "max_wal_size=8GB", "random_page_cost=1.1")
LIST = "/admin/avatar_sessions/streamingsession/"
PAGES = {
    "list": LIST,
    "search": f"{LIST}?q=person-7",
    "reason": f"{LIST}?end_reason__exact=no_picture",
    "session_page": LIST + "{session}/change/",
    "dashboard": "/admin/",
    "said": LIST + "?said={search}",
}
SEARCHES = ("keys_of_all", "one_key")
SESSIONS_WITH_WORD = 100
"""Sessions that contain the search word."""


def main(many: int) -> None:
    with servers.postgres(*SETTINGS) as database_url, servers.redis() as redis_url, servers.folder() as here:
        urls = {count: _database(database_url, f"past_{count}") for count in (FEW_SESSIONS, many)}
        os.environ |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "VAR_DIR": str(here)}
        os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
        django.setup()
        for count, url in urls.items():
            fill_database(url, count)
        took: dict[str, dict[int, list[float]]] = {name: {count: [] for count in urls} for name in (*PAGES, *SEARCHES)}
        for round_number in range(ROUNDS + 1):
            for count, url in urls.items():
                for name, seconds in time_pages(url, f"root-{round_number}").items():
                    if round_number:  # the first round has cold caches
                        took[name][count].append(seconds)
    report(took, many)


def _database(server_url: str, name: str) -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def fill_database(url: str, count: int) -> None:
    from tests.support import on_postgres

    on_postgres.migrate(url)
    began = time.perf_counter()
    with on_postgres.as_default(url):
        from django.contrib.auth.models import User

        from bench import _long_history
        from sessions.exports import filters

        root = User.objects.create_superuser("root")
        _long_history.create(count)
        filters.record_search(root.pk, None, _long_history.SEARCH_WORD, "a benchmark")
    print(
        f"{count} sessions with {_long_history.EVENTS_PER_SESSION * count} events"
        f" created in {time.perf_counter() - began:.0f} s",
        flush=True,
    )


def time_pages(url: str, username: str) -> dict[str, float]:
    """Open each page once, as a new administrator with searches left. Return the times."""
    from django.contrib.auth.models import User
    from django.test import Client

    from heygen_portal.trail.models import AuditEntry
    from sessions.models import StreamingSession
    from tests.support import on_postgres

    took = {}
    with on_postgres.as_default(url):
        client = Client(headers={"host": "localhost", "accept-language": "en"})
        client.force_login(User.objects.create_superuser(username), "django.contrib.auth.backends.ModelBackend")
        newest = StreamingSession.objects.order_by("-created_at").values_list("pk", flat=True)
        session = random.choice(newest[100:FEW_SESSIONS])
        search_number = AuditEntry.objects.get(kind=AuditEntry.Kind.SEARCHED).number
        client.get("/admin/avatars/persona/")  # a new connection has no query plans yet
        for name, page in PAGES.items():
            began = time.perf_counter()
            answer: Any = client.get(page.format(session=session, search=search_number))
            took[name] = time.perf_counter() - began
            if answer.status_code != 200:
                sys.exit(f"{page}: {answer.status_code}")
        took |= {name: time_search(people) for name, people in (("keys_of_all", None), ("one_key", ()))}
    return took


def time_search(people: tuple[int, ...] | None) -> float:
    """Search the newest sessions for a word, without a page. Return the time."""
    from bench import _long_history
    from sessions.models import StreamingSession, Utterance
    from sessions.speech import search as speech_search

    began = time.perf_counter()
    lines = speech_search.matching(Utterance.objects.all(), _long_history.SEARCH_WORD, people=people)
    found = len(
        StreamingSession.objects.filter(pk__in=lines.order_by().values("session")).order_by("-created_at")[:100]
    )
    if found != SESSIONS_WITH_WORD:
        sys.exit(f"{found} sessions contain the search word")
    return time.perf_counter() - began


def report(took: dict[str, dict[int, list[float]]], many: int) -> None:
    print(f"{'median, in ms':<14}{FEW_SESSIONS:>12,}{many:>12,}   ratio")
    ratios = {}
    for name, by_count in took.items():
        few, lots = (1000 * statistics.median(by_count[count]) for count in (FEW_SESSIONS, many))
        ratios[name] = lots / few
        print(f"{name.replace('_', ' '):<14}{few:>12.1f}{lots:>12.1f}   {lots / few:.2f}")
    beside = statistics.median(took["keys_of_all"][many]) / statistics.median(took["one_key"][many])
    print(f"With the keys of all users, the search itself takes {beside:.1f} times as long as with one, at {many:,}.")
    print(json.dumps({"bench": "history", **{f"{name}_1m_over_1k": round(ratios[name], 2) for name in PAGES}}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, default=1_000_000, help="size of the longer history")
    main(parser.parse_args().sessions)
