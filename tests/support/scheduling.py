"""Order and grouping of tests, so that parallel processes finish together."""

from __future__ import annotations

from fnmatch import fnmatch
from functools import cache

from xdist.scheduler import LoadFileScheduling

# Files that share servers with a long start. Each process starts its own. The longest unit comes first, so that it does
# not end last.
TOGETHER = {
    "the admin's portal": ("tests/browser/test_admin.py", "tests/browser/test_brand.py"),  # only proofs
    "LiveKit, and the emulator with media": (
        "tests/browser/*",
        "tests/attacks/sessions/test_observers_without_access.py",
        "tests/attacks/sessions/test_room_tokens.py",
        "tests/emulator/avatar/*",
        "tests/emulator/heygen/test_published_sdk.py",
        "tests/emulator/liveavatar/test_published_sdk.py",
        "tests/emulator/liveavatar/test_room.py",
        "tests/emulator/sessions/test_rooms.py",
        "tests/emulator/speech/test_recognition.py",
        "tests/sessions/presence/test_own_rooms.py",
        "tests/setup/test_servers.py",
    ),
    "PostgreSQL, and the emulator without media": (
        "tests/attacks/record/test_keys.py",
        "tests/attacks/record/test_lost_sessions.py",
        "tests/attacks/record/test_odd_columns.py",
        "tests/attacks/record/test_odd_values.py",
        "tests/attacks/record/test_record.py",
        "tests/attacks/record/test_rewritten_records.py",
        "tests/attacks/record/test_triggers.py",
        "tests/attacks/record/test_word_index.py",
        "tests/attacks/record/test_worker_columns.py",
        "tests/attacks/sessions/test_access_at_use.py",
        "tests/attacks/sessions/test_texts_on_their_way.py",
        "tests/attacks/sessions/test_unreadable_rows.py",
        "tests/avatars/documents/*",
        "tests/emulator/control/*",
        "tests/emulator/heygen/*",
        "tests/emulator/liveavatar/*",
        "tests/emulator/openai/*",
        "tests/emulator/sessions/*",
        "tests/emulator/test_command.py",
        "tests/providers/contract/*",
        "tests/providers/openai/*",
        "tests/runtime/test_folded_search.py",
        "tests/sessions/actions/test_failing_provider.py",
        "tests/sessions/actions/test_model.py",
        "tests/sessions/admin/test_long_list.py",
        "tests/sessions/capacity/test_concurrency.py",
        "tests/sessions/costs/test_provider_record.py",
        "tests/sessions/exports/test_list_export.py",
        "tests/sessions/health/test_work.py",
        "tests/sessions/integrity/test_tampering_columns.py",
        "tests/sessions/integrity/test_tampering_ends_and_audit_log.py",
        "tests/sessions/integrity/test_verification.py",
        "tests/sessions/integrity/test_word_faults.py",
        "tests/sessions/lifecycle/test_events.py",
        "tests/sessions/lifecycle/test_good_session.py",
        "tests/sessions/lifecycle/test_record_through_life.py",
        "tests/sessions/lifecycle/test_troubled_session.py",
        "tests/sessions/personal_data/test_closing.py",
        "tests/sessions/retention/test_provider_erasure.py",
        "tests/sessions/speech/test_erased_meanwhile.py",
        "tests/sessions/speech/test_speech_sql.py",
        "tests/sessions/staff/test_monitor_process.py",
        "tests/sessions/staff/test_provider_monitor.py",
        "tests/sessions/test_damaged_columns.py",
        "tests/test_backups.py",
        "tests/upgrades/*",
        "tests/webhooks/test_delivery.py",
        "tests/webhooks/test_workers.py",
    ),
    "the web process to attack": (
        "tests/attacks/server/test_bodies.py",
        "tests/attacks/server/test_large_uploads.py",
        "tests/attacks/server/test_readiness.py",
        "tests/attacks/server/test_slow_readers.py",
    ),
    "the matrix": ("tests/access/*",),
    "bin/serve": ("tests/setup/test_serve.py",),
    "a portal in which one conversation took place": (
        "tests/sessions/health/test_logs.py",
        "tests/sessions/health/test_metrics.py",
        "tests/sessions/health/test_tracing.py",
    ),
}


def unit(test: str) -> str:
    """Return the unit of a test.

    Tests of one unit run in one process. The default unit is the file.
    """
    return _unit_of_file(test.partition("::")[0])


@cache
def _unit_of_file(file: str) -> str:
    return next((name for name, files in TOGETHER.items() if any(fnmatch(file, each) for each in files)), file)


def rank(test: str) -> int:
    """Return the sort key of a test's unit."""
    return [*TOGETHER, unit(test)].index(unit(test))


class WholeUnits(LoadFileScheduling):
    """Gives each process whole units.

    pytest-xdist's groups do not work with pytest 9.2 and newer.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
