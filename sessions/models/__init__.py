"""Models of sessions, conversations, guests, records, tabs, the queue, and quotas."""

from sessions.models.conversations import (
    RUNNING,
    Answer,
    Conversation,
    EndReason,
    LimitBy,
    Purpose,
    SessionEvent,
    SessionTask,
    Status,
    StreamingSession,
    Utterance,
)
from sessions.models.exports import Export
from sessions.models.guests import Guest, GuestLink, OwnerId, PersonaEmbed, guest_name, owned_by, owner_columns
from sessions.models.incidents import Check, Incident, StaffMessage
from sessions.models.quotas import Quota
from sessions.models.record import HistoryCheck, SessionHead, SessionSeal
from sessions.models.retention import Consent, Erasure, LegalHold, ProviderErasure
from sessions.models.speech import SpeechErased, SpeechKey, SpokenWord, WordIndexRebuild
from sessions.models.tabs import BrainAccess, MonitoredSession, QueueEntry, ServerProcess, Tab
from sessions.models.totals import DayTotal, SessionTotal, SpendAlarm

__all__ = [
    "RUNNING",
    "Answer",
    "BrainAccess",
    "Check",
    "Consent",
    "Conversation",
    "DayTotal",
    "EndReason",
    "Erasure",
    "Export",
    "Guest",
    "GuestLink",
    "HistoryCheck",
    "Incident",
    "LegalHold",
    "LimitBy",
    "MonitoredSession",
    "OwnerId",
    "PersonaEmbed",
    "ProviderErasure",
    "Purpose",
    "QueueEntry",
    "Quota",
    "ServerProcess",
    "SessionEvent",
    "SessionHead",
    "SessionSeal",
    "SessionTask",
    "SessionTotal",
    "SpeechErased",
    "SpeechKey",
    "SpendAlarm",
    "SpokenWord",
    "StaffMessage",
    "Status",
    "StreamingSession",
    "Tab",
    "Utterance",
    "WordIndexRebuild",
    "guest_name",
    "owned_by",
    "owner_columns",
]
