"""The kinds of events in a session's record."""

from __future__ import annotations

from enum import StrEnum


class EventKind(StrEnum):
    """Kinds of `SessionEvent`. Stored and hashed: a released value never changes.

    `event_labels.TITLES` has the labels; `page_reports.EFFECTS` lists those that a browser may report.
    """

    # The portal, its providers and its staff
    REQUESTED = "requested"
    STATUS = "status"
    PROVIDER_AUTHENTICATED = "provider_authenticated"
    PROVIDER_CREATED = "provider_created"
    PROVIDER_STARTED = "provider_started"
    PROVIDER_ANSWERED_LATE = "provider_answered_late"
    PROVIDER_ASKED = "provider_asked"
    PROVIDER_RECORD = "provider_record"
    PROVIDER_RECORD_MISSING = "provider_record_missing"
    LINE_ADDED = "line_added"
    ROOM_MADE = "room_made"
    ROOM_ACCESS_RENEWED = "room_access_renewed"
    TEXT_SENT = "text_sent"
    TASK = "task"
    INTERRUPTED = "interrupted"
    DEADLINE_REPAIRED = "deadline_repaired"
    STAYED = "stayed"
    TAB_RETURNED = "tab_returned"
    LAST_TAB_LEFT = "last_tab_left"
    PERSON_LEFT_ROOM = "person_left_room"
    WITHOUT_PICTURE = "without_picture"
    REPORTS_DROPPED = "reports_dropped"
    MONITOR_OPENED = "monitor_opened"
    MONITOR_LOST = "monitor_lost"
    MONITOR_GAVE_UP = "monitor_gave_up"
    OBSERVED = "observed"
    OBSERVER_REMOVED = "observer_removed"
    STOP_ASKED = "stop_asked"
    TRANSCRIPT_OPENED = "transcript_opened"
    EXPORTED = "exported"
    EXPORT_STATE = "export_state"
    HELD = "held"
    HOLD_RELEASED = "hold_released"
    SPEECH_ERASED = "speech_erased"
    PROVIDER_ERASED = "provider_erased"
    PROVIDER_ERASURE_FAILED = "provider_erasure_failed"
    BOOKED = "booked"
    COST_TOLD = "cost_told"
    RECORD_UPGRADED = "record_upgraded"

    # Our own LiveKit's webhooks
    PARTICIPANT_JOINED = "participant_joined"
    PARTICIPANT_LEFT = "participant_left"
    ROOM_FINISHED = "room_finished"

    # The page: room, video, recovery
    ROOM_CONNECTED = "room_connected"
    ROOM_RECONNECTING = "room_reconnecting"
    ROOM_RECONNECTED = "room_reconnected"
    ROOM_DISCONNECTED = "room_disconnected"
    CONNECTION_STATE = "connection_state"
    CONNECTION_QUALITY = "connection_quality"
    TRACK_PUBLISHED = "track_published"
    TRACK_SUBSCRIBED = "track_subscribed"
    TRACK_UNSUBSCRIBED = "track_unsubscribed"
    FIRST_FRAME = "first_frame"
    FIRST_SOUND = "first_sound"
    WAY = "way"
    PICTURE = "picture"
    RATED = "rated"
    PLAYBACK_BLOCKED = "playback_blocked"
    PLAYBACK_STARTED = "playback_started"
    WAITING = "waiting"
    WAITING_OVER = "waiting_over"
    FROZEN = "frozen"
    LADDER = "ladder"
    VERDICT = "verdict"
    CHECK = "check"
    MICROPHONE = "microphone"

    # Speech, from the avatar's room or the provider's socket
    USER_START = "user_start"
    USER_STOP = "user_stop"
    USER_TALKING_MESSAGE = "user_talking_message"
    USER_END_MESSAGE = "user_end_message"
    AVATAR_START_TALKING = "avatar_start_talking"
    AVATAR_STOP_TALKING = "avatar_stop_talking"
    AVATAR_TALKING_MESSAGE = "avatar_talking_message"
    AVATAR_END_MESSAGE = "avatar_end_message"
    SESSION_STOPPED = "session_stopped"
