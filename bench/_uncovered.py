"""Branches that the daily tests need not take, each with the reason.

`bin/bench coverage` prints them apart from the others, and names entries that are not needed any more.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Uncovered:
    """Branches that begin at one line.

    `function` is its qualified name in the file; `line` is the text of the line without its indentation.
    """

    path: str
    function: str
    line: str
    reason: str


AT_ONCE = "two processes do the same at the same moment"
LEAVES = "the page leaves at this moment"

UNCOVERED = (
    Uncovered(
        "sessions/actions/deadlines.py",
        "_locked_if_late",
        "if session is None:",
        "the session ends between two statements",
    ),
    Uncovered(
        "sessions/capacity/slots.py",
        "_running_session",
        "if session is None:",
        "the session, on another account, ends between two statements",
    ),
    Uncovered(
        "sessions/costs/spend_alerts.py",
        "raise_alerts",
        "if SpendAlarm.objects.filter(pk=alarm.pk, mailed_at=None).update(mailed_at=now):",
        AT_ONCE,
    ),
    Uncovered("sessions/exports/list_export.py", "_finish", "if is_current_writer:", AT_ONCE),
    Uncovered(
        "sessions/exports/list_export.py",
        "delete_files",
        "if kept.update(state=State.EXPIRED, touched_at=timezone.now()):",
        AT_ONCE,
    ),
    Uncovered(
        "sessions/integrity/diagnosis.py",
        "_end_mark_faults",
        "elif is_head_signed and chain.head.number < chain.length:",
        "callers take the first fault, and here one was found before",
    ),
    Uncovered(
        "sessions/management/commands/monitor_chat.py",
        "_run",
        "for number in (signal.SIGTERM, signal.SIGINT):",
        "the command's own process runs in the proofs",
    ),
    Uncovered(
        "sessions/management/commands/rebuild_word_index.py",
        "Command.handle",
        "if self.stdout.isatty():",
        "progress on a terminal",
    ),
    Uncovered(
        "sessions/management/commands/rotate_keys.py",
        "Command._rotate.tell",
        "if self.stdout.isatty():",
        "progress on a terminal",
    ),
    Uncovered(
        "sessions/models/speech.py",
        "_DecryptedText.__get__",
        "if row is None:",
        "a descriptor returns itself when it is read from its class, as those of Python do",
    ),
    Uncovered(
        "sessions/staff/board_consumer.py", "BoardConsumer.send_changes_while_open", "while self.is_open:", LEAVES
    ),
    Uncovered(
        "sessions/web/page_socket.py",
        "check_access",
        "if isinstance(outcome, Exception):",
        "a socket cannot be closed because its connection breaks at this moment",
    ),
    Uncovered(
        "sessions/web/page_socket.py",
        "PageSocket.__call__",
        "if self.is_open:",
        "Redis fails while a page is open: `bin/bench chaos`",
    ),
    Uncovered("sessions/web/page_socket.py", "PageSocket.refuse", "if self.is_open:", LEAVES),
    Uncovered(
        "sessions/web/session_consumer.py",
        "SessionConsumer.connect",
        "if not await self.may_connect():",
        "a test takes it, but coverage.py does not see the first lines after an exception of an awaited future",
    ),
    Uncovered("sessions/web/session_consumer.py", "SessionConsumer.leave", "if not published.done():", LEAVES),
    Uncovered(
        "sessions/web/session_consumer.py",
        "SessionConsumer.follow",
        "if session := await in_thread(queries.find_own)(self.owner, session_id):",
        "rows of sessions are never deleted",
    ),
    Uncovered("sessions/web/session_consumer.py", "SessionConsumer.follow", "if self.is_open:", LEAVES),
    Uncovered("sessions/web/session_consumer.py", "SessionConsumer.give_command", "if not self.is_open:", LEAVES),
    Uncovered("sessions/web/session_consumer.py", "SessionConsumer.on_prepare", "if not self.is_open:", LEAVES),
)
