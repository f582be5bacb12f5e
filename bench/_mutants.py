"""Places that `bin/bench mutants` breaks, and the tests that should notice.

A number is the requirement in docs/requirements.md that the place serves. The places were chosen in the code, without
looking at its tests.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One broken place.

    `before` occurs once in the file. `tests` are the fewest that should notice: paths or IDs, for scripts patterns.
    """

    name: str
    path: str
    before: str
    after: str
    tests: tuple[str, ...]

    @property
    def is_script(self) -> bool:
        return self.path.endswith(".js")


TRANSITIONS, DEADLINES, STOP = (
    "sessions/lifecycle/transitions.py",
    "sessions/actions/deadlines.py",
    "sessions/actions/stop.py",
)
QUOTAS, SLOTS, QUEUE = "sessions/capacity/quotas.py", "sessions/capacity/slots.py", "sessions/capacity/queue.py"
TABS, TOKENS = "sessions/presence/tabs.py", "heygen_portal/livekit/tokens.py"
HEYGEN, WIRE = "heygen_portal/providers/heygen/provider.py", "heygen_portal/providers/heygen/wire.py"
CONSUMER, REPORTS = "sessions/web/session_consumer.py", "sessions/web/page_reports.py"
HASH_CHAIN, SIGNING = "heygen_portal/trail/hash_chain.py", "heygen_portal/trail/signing.py"
LIVE_ACCESS, ROLES = "heygen_portal/people/access/live_access.py", "heygen_portal/people/access/roles.py"
CHECKLIST, ERASURE = "sessions/onboarding/checklist.py", "sessions/retention/erasure.py"
LADDER, DIAGNOSIS = "sessions/static/sessions/recovery/ladder.js", "sessions/static/sessions/recovery/diagnosis.js"
PROVISION, LEDGER = "sessions/actions/provision.py", "sessions/costs/ledger.py"
SESSIONS_ADMIN = "sessions/admin/streaming_sessions.py"
PROBE = "sessions/static/sessions/device-check/route-probe.js"
GUESTS, ADMISSION, GUEST_TOKENS = (
    "sessions/capacity/guests.py",
    "sessions/embed/admission.py",
    "sessions/embed/tokens.py",
)
GUEST_PAGE_SCRIPT, CONSENT = "sessions/static/sessions/embed/guest-page.js", "sessions/capacity/consent.py"
CALLERS = "heygen_portal/people/api_keys/callers.py"
DELIVERY, SENDING = "heygen_portal/webhooks/delivery.py", "heygen_portal/webhooks/sending.py"
ADDRESSES = "heygen_portal/webhooks/addresses.py"
BRAND_VIEWS = "heygen_portal/branding/views.py"
ROOM, CHECKS = "sessions/static/sessions/room/room.js", "sessions/static/sessions/device-check/checks.js"

TRANSITION_TESTS = ("tests/sessions/lifecycle/test_transitions.py",)
OPENING_TESTS = (*TRANSITION_TESTS, "tests/sessions/actions/test_provision.py")
DEADLINE_TESTS = ("tests/sessions/actions/test_deadlines.py",)
STOP_TESTS = ("tests/sessions/actions/test_stop.py",)
QUOTA_TESTS = ("tests/sessions/capacity/test_quotas.py",)
SLOT_TESTS = ("tests/sessions/capacity/test_slots.py",)
QUEUE_TESTS = ("tests/sessions/capacity/test_queue.py",)
TAB_TESTS = ("tests/sessions/presence/test_tabs.py",)
TOKEN_TESTS = tuple(
    f"tests/sessions/presence/test_own_rooms.py::{test}"
    for test in (
        "test_avatar_and_user_get_minimal_tokens_for_one_room",
        "test_an_observers_token_is_hidden_and_subscribe_only",
    )
)
HEYGEN_TESTS = ("tests/providers/heygen/test_provider.py",)
SOCKET_TESTS = tuple(
    f"tests/sessions/web/test_session_consumer.py::{test}"
    for test in (
        "test_a_wrong_message_in_a_live_session_is_explained",
        "test_a_message_that_needs_a_session_is_refused_without_one",
    )
)
ACCESS_TESTS = (
    "tests/attacks/sessions/test_access_at_use.py::test_one_text_is_checked_with_one_query_as_strictly_as_all_sockets_together",
    "tests/attacks/sessions/test_access_at_use.py::test_lost_access_is_noticed_at_the_next_use",
)
ROLE_TESTS = ("tests/people/test_permissions.py",)
CHAIN_TESTS = ("tests/sessions/integrity/test_verification.py", "tests/attacks/record/test_record.py")
ERASURE_TESTS = ("tests/sessions/retention/test_erasure.py",)
CHECKLIST_TESTS = ("tests/sessions/onboarding/test_checklist.py",)
TEXT_TESTS = ("tests/runtime/text/test_model_fields.py::test_a_text_may_have_its_number_of_characters_of_any_script",)
GUEST_SOCKET, GUEST_PAGES = "tests/sessions/embed/test_guest_consumer.py", "tests/sessions/embed/test_views.py"
GUEST_TESTS = "tests/sessions/capacity/test_guests.py"
CONSENT_TESTS = ("tests/sessions/capacity/test_consent.py",)
KEY_TESTS = ("tests/people/test_api_keys.py::test_a_key_is_refused_once_it_is_expired_revoked_or_used_from_elsewhere",)
IDEMPOTENCY_TESTS = ("tests/api/test_requests.py",)
DELIVERY_TESTS = "tests/webhooks/test_delivery.py"
JS_EMBED = ("tests/js/embed/*.test.js",)
JS_RECOVERY = ("tests/js/recovery/*.test.js",)
JS_ROOM = ("tests/js/room/*.test.js", "tests/js/conversation/*.test.js")
JS_DEVICE_CHECK = ("tests/js/device-check/*.test.js",)

MUTANTS = (
    # Lifecycle
    Mutant(
        "a second caller also stops a session",
        TRANSITIONS,
        "filter(pk=session.pk, status=old_status).update(",
        "filter(pk=session.pk).update(",
        TRANSITION_TESTS,
    ),
    Mutant(
        "an ended session goes on",
        TRANSITIONS,
        "    Status.ENDED: frozenset(),",
        "    Status.ENDED: frozenset({Status.STOPPING}),",
        TRANSITION_TESTS,
    ),
    Mutant(
        "a late frame revives a session",
        TRANSITIONS,
        "        if session.status != Status.CONNECTING:\n            return False  # a rejoin",
        "        if session.status == Status.ENDED:\n            return False  # a rejoin",
        ("tests/sessions/actions/test_control.py", "tests/sessions/actions/test_provider_status.py"),
    ),
    Mutant(
        "23 the provider's limit does not bind",
        TRANSITIONS,
        "            if limit and session.created_at + limit < session.ends_at:\n"
        "                session.ends_at = answered",
        "            if limit and session.created_at + limit > session.ends_at:\n"
        "                session.ends_at = answered",
        TRANSITION_TESTS,
    ),
    Mutant(
        "22 is_paid is not stored",
        TRANSITIONS,
        '        "is_paid": answer.is_paid,\n',
        "",
        OPENING_TESTS,
    ),
    Mutant(
        "22 the provider's limit is not stored",
        TRANSITIONS,
        '        "provider_duration_limit": answer.duration_limit,\n',
        "",
        OPENING_TESTS,
    ),
    Mutant(
        "22 the session's token is stored in an event",
        TRANSITIONS,
        'created |= {"sent": dict(answer.sent)} if answer.sent else {}',
        'created |= {"sent": dict(answer.sent)} if answer.sent else {"token": answer.credential}',
        OPENING_TESTS,
    ),
    Mutant(
        "22 the room's token is stored in a column",
        TRANSITIONS,
        '        "is_paid": answer.is_paid,\n',
        '        "is_paid": answer.is_paid,\n        "end_evidence": {"room": answer.room and answer.room.token},\n',
        OPENING_TESTS,
    ),
    Mutant(
        "22 is_paid is not shown",
        SESSIONS_ADMIN,
        '                    "is_paid",\n',
        "",
        ("tests/sessions/admin/test_sessions.py",),
    ),
    Mutant(
        "45 the fields that were sent are not recorded",
        TRANSITIONS,
        'created |= {"sent": dict(answer.sent)} if answer.sent else {}',
        "created |= {}",
        OPENING_TESTS,
    ),
    Mutant(
        "46 a refused start counts as one",
        PROVISION,
        "    except ProviderError as exc:\n        await stop(session, _end_reason(exc)",
        "    except ProviderError as exc:\n        await in_thread(transitions.record_started)(session, answer)\n"
        "        await stop(session, _end_reason(exc)",
        OPENING_TESTS,
    ),
    Mutant(
        "a session stopped while it was created keeps no ID",
        TRANSITIONS,
        "        StreamingSession.objects.filter(pk=session.pk).update(**answered)\n",
        "",
        TRANSITION_TESTS,
    ),
    Mutant(
        "a renewal greets again",
        TRANSITIONS,
        'greeting="" if is_greeted else settings.greeting',
        "greeting=settings.greeting",
        (
            "tests/sessions/capacity/test_waiting_tabs.py::test_a_continued_session_names_its_predecessor_and_does_not_greet_again",
        ),
    ),
    Mutant(
        "the conversation never ends",
        TRANSITIONS,
        "            _refresh_late_columns([session])\n            _update_conversation_ends([session])\n",
        "            _refresh_late_columns([session])\n",
        ("tests/sessions/lifecycle/test_conversation.py",),
    ),
    # Limits
    Mutant(
        "the duration limit is not enforced",
        DEADLINES,
        "    if session.ends_at <= now:\n        return limit_end_reason(session)\n",
        "",
        DEADLINE_TESTS,
    ),
    Mutant(
        "the idle limit is not enforced",
        DEADLINES,
        "    return EndReason.IDLE if session.active_at + session.idle_timeout <= now else None",
        "    return None",
        DEADLINE_TESTS,
    ),
    Mutant(
        "a closed tab does not end a session",
        DEADLINES,
        "    if session.abandoned_at and session.abandoned_at + transitions.TAB_GRACE <= now:",
        "    if session.abandoned_at and session.abandoned_at > now:",
        (*TAB_TESTS, *DEADLINE_TESTS),
    ),
    Mutant(
        "a session without video stays open",
        DEADLINES,
        "        return EndReason.IDLE if without_frame.is_waiting else EndReason.NO_PICTURE",
        "        return None",
        ("tests/sessions/lifecycle/test_first_frame.py",),
    ),
    Mutant(
        "an orphan stays open",
        DEADLINES,
        "return EndReason.ORPHAN_FOUND if session.created_at + transitions.CREATION_TIMEOUT <= now else None",
        "return None",
        (*DEADLINE_TESTS, *STOP_TESTS),
    ),
    Mutant(
        "31 an unconfirmed stop is not retried",
        STOP,
        "        await _retry_later(session, end_evidence.provider_failed(exc))\n        return False\n",
        "",
        STOP_TESTS,
    ),
    Mutant(
        "31 a session that is already gone counts as not stopped",
        STOP,
        "    with suppress(SessionGone):\n        await provider.stop_session(name, why)",
        "    await provider.stop_session(name, why)",
        STOP_TESTS,
    ),
    Mutant(
        "the slot of an ended session is offered to nobody",
        STOP,
        "    if transitions.end(session):\n        queue.try_offer_slots(session.account_id)",
        "    transitions.end(session)",
        (*QUEUE_TESTS, *STOP_TESTS),
    ),
    Mutant(
        "a worker does not notice dead processes",
        STOP,
        "    await in_thread(tabs.expire_leases)(now)\n",
        "",
        (*TAB_TESTS, *STOP_TESTS),
    ),
    Mutant(
        "the longest quota applies",
        QUOTAS,
        "    return timedelta(minutes=min(minutes)) if minutes else None",
        "    return timedelta(minutes=max(minutes)) if minutes else None",
        QUOTA_TESTS,
    ),
    Mutant(
        "a used-up quota allows a start",
        QUOTAS,
        "        if left < MIN_SESSION_TIME:\n            raise errors.QuotaUsed\n",
        "",
        QUOTA_TESTS,
    ),
    Mutant(
        "running sessions do not count against the cap",
        QUOTAS,
        "(account.monthly_cap - spent.spent - spent.promised)",
        "(account.monthly_cap - spent.spent)",
        QUOTA_TESTS,
    ),
    Mutant(
        "a renewal gets the whole time again",
        QUOTAS,
        "    duration, limit_by = time_limit - used, time_limit_by",
        "    duration, limit_by = time_limit, time_limit_by",
        ("tests/attacks/sessions/test_renewals.py::test_a_conversation_has_one_limit_for_every_renewal_reason",),
    ),
    Mutant(
        "two sessions of one user",
        SLOTS,
        "            if facts.is_running:\n                raise errors.SessionRunning(_running_session(owner))\n",
        "",
        SLOT_TESTS,
    ),
    Mutant(
        "more sessions than slots",
        SLOTS,
        "is_staff=facts.is_staff) < 1:",
        "is_staff=facts.is_staff) < -9:",
        SLOT_TESTS,
    ),
    Mutant(
        "an offer never expires",
        QUEUE,
        "entry.offer_expires_at and entry.offer_expires_at <= now]",
        "entry.offer_expires_at and entry.offer_expires_at > now]",
        QUEUE_TESTS,
    ),
    Mutant(
        "a reload ends a session",
        TABS,
        "    session.abandoned_at = None\n",
        "",
        TAB_TESTS,
    ),
    # The provider's wire
    Mutant(
        "9 the bearer header is never used",
        HEYGEN,
        'is_bearer=account.key_header == "bearer"',
        "is_bearer=False",
        HEYGEN_TESTS,
    ),
    Mutant("11 start does without the token", HEYGEN, ", token=session.credential", "", HEYGEN_TESTS),
    Mutant(
        "11 a session whose token was refused stays open",
        HEYGEN,
        "                await self.stop_session(session.provider_session_id)\n            raise",
        "                pass\n            raise",
        HEYGEN_TESTS,
    ),
    Mutant('12 version is not "v2"', WIRE, 'return {"version": "v2"} |', 'return {"version": "v1"} |', HEYGEN_TESTS),
    Mutant("45 the provider does not say what it sent", HEYGEN, "sent=parsing.as_sent(body)", "sent={}", HEYGEN_TESTS),
    Mutant("15 quality is left out", WIRE, "request.quality and str(request.quality)", "None", HEYGEN_TESTS),
    Mutant("16 encoding is always H264", WIRE, "request.video_encoding,", '"H264",', HEYGEN_TESTS),
    Mutant(
        "17 the emotion keeps its capitals",
        WIRE,
        "request.voice_emotion.lower()",
        "request.voice_emotion",
        HEYGEN_TESTS,
    ),
    Mutant(
        "20 knowledge is sent under the wrong name",
        WIRE,
        'return {"knowledge_base_id": request',
        'return {"knowledge_id": request',
        HEYGEN_TESTS,
    ),
    Mutant(
        "28 the room in start's answer is thrown away",
        HEYGEN,
        "return replace(session, room=session.room or wire.room(parsing.mapping(answer)))",
        "return session",
        HEYGEN_TESTS,
    ),
    Mutant(
        "29 the type of a text is not sent",
        HEYGEN,
        '"task_type": str(kind), ',
        "",
        HEYGEN_TESTS,
    ),
    Mutant(
        "38 our own room is not sent",
        WIRE,
        '"livekit_settings": room and {',
        '"livekit_settings": None and {',
        HEYGEN_TESTS,
    ),
    Mutant(
        "40 a reply without a room is an error",
        WIRE,
        "return RoomAccess(url, token) if url and token else None",
        "return RoomAccess(url, token)",
        HEYGEN_TESTS,
    ),
    Mutant(
        "76 the room's microphone is not heard",
        WIRE,
        "request.takes_voice or None",
        "None",
        HEYGEN_TESTS,
    ),
    # Rooms and tokens
    Mutant(
        "37 a user may publish video",
        TOKENS,
        '        can_publish_sources=["microphone"],\n',
        "",
        TOKEN_TESTS,
    ),
    Mutant(
        "41 an observer is visible",
        TOKENS,
        "can_publish_data=False, hidden=True",
        "can_publish_data=False, hidden=False",
        TOKEN_TESTS,
    ),
    Mutant(
        "41 an observer may publish",
        TOKENS,
        "can_subscribe=True, can_publish=False,",
        "can_subscribe=True, can_publish=True,",
        TOKEN_TESTS,
    ),
    # The socket
    Mutant(
        "3 an unknown kind of text is sent",
        CONSUMER,
        "        if kind not in tuple(TaskKind):\n            raise errors.BadMessage\n",
        "        kind = kind if kind in tuple(TaskKind) else TaskKind.TALK\n",
        SOCKET_TESTS,
    ),
    Mutant(
        "a text is sent after access was lost",
        CONSUMER,
        "                require_access=self.require_access,\n",
        "",
        ACCESS_TESTS,
    ),
    Mutant(
        "32 a message without a session is accepted",
        CONSUMER,
        "        if self.session_id is None:\n            raise errors.NoSession\n        return self.session_id",
        "        return self.session_id or UUID(int=0)",
        SOCKET_TESTS,
    ),
    Mutant(
        "a late line is stored for ever",
        REPORTS,
        "(RATING_WINDOW if kind == EventKind.RATED else LATE_REPORT_WINDOW)",
        "RATING_WINDOW",
        ("tests/attacks/sessions/test_reported_lines.py",),
    ),
    # Access
    Mutant(
        "a deactivated user talks on",
        LIVE_ACCESS,
        "    if person is None or not person.is_active:\n        return Loss.DEACTIVATED\n    if not _is",
        "    if person is None:\n        return Loss.DEACTIVATED\n    if not _is",
        ACCESS_TESTS,
    ),
    Mutant(
        "a user without the role talks on",
        LIVE_ACCESS,
        "    if not person.permissions[claim.permission] or (",
        "    if (",
        ACCESS_TESTS,
    ),
    Mutant(
        "an old password keeps a socket open",
        LIVE_ACCESS,
        "    if constant_time_compare(stored_hash, user.get_session_auth_hash()):",
        "    if stored_hash:",
        ACCESS_TESTS,
    ),
    Mutant(
        "editors stop sessions",
        ROLES,
        "EDIT_PERSONAS + EDIT_KNOWLEDGE + CREATE_VIDEOS",
        "EDIT_PERSONAS + EDIT_KNOWLEDGE + CREATE_VIDEOS + STOP_SESSIONS",
        ROLE_TESTS,
    ),
    Mutant(
        "operators read transcripts",
        ROLES,
        "    + SEE_HEALTH,\n)\nAUDITOR = Role(",
        "    + SEE_HEALTH\n    + READ_TRANSCRIPTS,\n)\nAUDITOR = Role(",
        ROLE_TESTS,
    ),
    # The record
    Mutant(
        "a row's own hash is not compared",
        HASH_CHAIN,
        "row.number == number and row.previous_hash == last_hash and row.matches_hash()",
        "row.number == number and row.previous_hash == last_hash",
        CHAIN_TESTS,
    ),
    Mutant(
        "a row may follow any other",
        HASH_CHAIN,
        "row.number == number and row.previous_hash == last_hash and row.matches_hash()",
        "row.number == number and row.matches_hash()",
        CHAIN_TESTS,
    ),
    Mutant(
        "every signature is valid",
        SIGNING,
        "        return bool(expected) and hmac.compare_digest(",
        "        return bool(expected) or hmac.compare_digest(",
        CHAIN_TESTS,
    ),
    Mutant(
        "a held session is erased",
        ERASURE,
        "        if session is None or is_held(session_id):",
        "        if session is None:",
        ERASURE_TESTS,
    ),
    Mutant(
        "erased words stay in the search",
        ERASURE,
        "        SpokenWord.objects.filter(utterance__session_id=session_id).delete()\n",
        "",
        ERASURE_TESTS,
    ),
    Mutant(
        "a cell of an export is a formula",
        "sessions/exports/formats.py",
        '    found = _FORMULA.sub(r"\\1\'", text)',
        "    found = text",
        ("tests/sessions/exports/test_formats.py",),
    ),
    # The checklist
    Mutant(
        "45 the values sent are not compared",
        CHECKLIST,
        "any(all(value.is_same for value in values) for values in self.sent_values if values)",
        "any(self.sent_values)",
        CHECKLIST_TESTS,
    ),
    Mutant(
        "48 a frame alone counts as a text",
        CHECKLIST,
        "            and any(task.status == SessionTask.Status.SENT for task in self.tasks[session.pk])\n",
        "",
        CHECKLIST_TESTS,
    ),
    Mutant(
        "48 a session without video counts as one with a first frame",
        CHECKLIST,
        "            self.has_in(session, EventKind.FIRST_FRAME)\n",
        "            session.live_at is not None\n",
        CHECKLIST_TESTS,
    ),
    Mutant(
        "46 an own room that nobody joined counts",
        CHECKLIST,
        "session.room and session.provider_session_id and self.has_in(session, EventKind.ROOM_CONNECTED)",
        "session.room and session.provider_session_id",
        CHECKLIST_TESTS,
    ),
    Mutant(
        "53 a session without answers counts as measured",
        CHECKLIST,
        "answered.exclude(answers_ms=[]).exists()",
        "answered.exists()",
        CHECKLIST_TESTS,
    ),
    Mutant(
        "53 totals have no response times",
        LEDGER,
        "turns_of(in_order(moments)) if turn.latency]",
        "turns_of([]) if turn.latency]",
        ("tests/sessions/costs/test_report.py",),
    ),
    Mutant(
        "49 a stop that was not confirmed counts",
        CHECKLIST,
        "return any(session.status == Status.ENDED and session.live_at",
        "return any(session.live_at",
        CHECKLIST_TESTS,
    ),
    # Texts that people type
    Mutant(
        "a name's characters are not counted",
        "heygen_portal/runtime/text/model_fields.py",
        "        self.validators[-1] = MaxCharacters(max_characters)  # instead of the validator of code points\n",
        "",
        TEXT_TESTS,
    ),
    Mutant(
        "an emoji family is several characters",
        "heygen_portal/runtime/text/graphemes.py",
        "    return sum(1 for _ in iter_graphemes(text))",
        "    return len(text)",
        TEXT_TESTS,
    ),
    # Guests
    Mutant(
        "a guest's token is valid on another device",
        GUEST_TOKENS,
        "visit.embed_id != embed_id or (has_cookie and visit.device != device):",
        "visit.embed_id != embed_id:",
        (f"{GUEST_SOCKET}::test_a_forged_replayed_expired_or_foreign_token_is_refused_on_record",),
    ),
    Mutant(
        "a guest's token opens several sockets",
        GUEST_TOKENS,
        'cache.add(f"guest-token:{nonce}", 1,',
        'cache.add(f"guest-token:{nonce}:{secrets.token_hex(8)}", 1,',
        (f"{GUEST_SOCKET}::test_a_forged_replayed_expired_or_foreign_token_is_refused_on_record",),
    ),
    Mutant(
        "a guest's token lives as long as the visit",
        GUEST_TOKENS,
        "_read(token, SOCKET, SOCKET_TOKEN_LIFETIME)",
        "_read(token, SOCKET, VISIT_LIFETIME)",
        (f"{GUEST_SOCKET}::test_a_forged_replayed_expired_or_foreign_token_is_refused_on_record",),
    ),
    Mutant(
        "a guest's token outlives its site and link",
        ADMISSION,
        "        if guests.losses({GuestClaim.of(visit)}):\n",
        "        if visit.embed_id != embed.pk:\n",
        (f"{GUEST_SOCKET}::test_a_token_is_worth_nothing_once_its_site_or_link_is_withdrawn",),
    ),
    Mutant(
        "any site may show a persona in a frame",
        "sessions/embed/views.py",
        '{"frame-ancestors": sites}',
        '{"frame-ancestors": ["*"]}',
        (f"{GUEST_PAGES}::test_the_frame_is_for_the_allowed_sites_alone",),
    ),
    Mutant(
        "a guest's device may begin any number of conversations",
        GUESTS,
        "here.filter(guest__device=guest.device).count()",
        "here.none().count()",
        (f"{GUEST_TESTS}::test_each_device_network_and_persona_has_conversations_a_day",),
    ),
    Mutant(
        "a guest's network may begin any number of conversations",
        GUESTS,
        "here.filter(guest__network=guest.network).count()",
        "here.none().count()",
        (f"{GUEST_TESTS}::test_each_device_network_and_persona_has_conversations_a_day",),
    ),
    Mutant(
        "guests may begin one conversation a day too many",
        GUESTS,
        "if here.count() >= embed.conversations_per_day:",
        "if here.count() > embed.conversations_per_day:",
        (f"{GUEST_TESTS}::test_each_device_network_and_persona_has_conversations_a_day",),
    ),
    Mutant(
        "one network may open any number of sessions of guests",
        GUESTS,
        "if not is_kiosk and _open_in(guest.network) >= OPEN_PER_NETWORK:",
        "if is_kiosk and _open_in(guest.network) >= OPEN_PER_NETWORK:",
        (f"{GUEST_TESTS}::test_guests_of_one_network_have_so_many_open_sessions_whatever_the_persona",),
    ),
    Mutant(
        "guests start beyond their daily spending cap",
        GUESTS,
        "    if left < quotas.MIN_SESSION_TIME:\n        raise errors.GuestsPaused\n",
        "",
        (f"{GUEST_TESTS}::test_guests_of_a_persona_share_a_daily_spending_cap",),
    ),
    Mutant(
        "a guest talks without the age check",
        GUESTS,
        "if embed.needs_guardian and not (has_guardian or",
        "if embed.needs_guardian and known and not (has_guardian or",
        (f"{GUEST_TESTS}::test_the_age_is_confirmed_once_for_a_guest",),
    ),
    Mutant(
        "a link may be used too often",
        GUESTS,
        'filter(pk=link_id, uses__lt=F("max_uses"))',
        "filter(pk=link_id)",
        (f"{GUEST_TESTS}::test_a_link_is_good_for_so_many_conversations_and_a_refused_start_uses_none",),
    ),
    Mutant(
        "a link never expires",
        "sessions/models/guests.py",
        "filter(revoked_at=None, expires_at__gt=timezone.now())",
        "filter(revoked_at=None)",
        (f"{GUEST_TESTS}::test_a_link_that_has_expired_starts_nothing",),
    ),
    Mutant(
        "a guest erases what others said",
        ERASURE,
        "unreadable.ids(erasable().filter(owned_by(owner)))",
        "unreadable.ids(erasable())",
        (f"{GUEST_PAGES}::test_a_guest_erases_the_own_conversation_alone",),
    ),
    Mutant(
        "a kiosk keeps its guest's session",
        GUEST_PAGE_SCRIPT,
        "    return !this.#isKiosk;",
        "    return true;",
        JS_EMBED,
    ),
    Mutant(
        "a kiosk never starts over",
        GUEST_PAGE_SCRIPT,
        "if (this.#isKiosk && OVER.includes(screen))",
        "if (!this.#isKiosk && OVER.includes(screen))",
        JS_EMBED,
    ),
    # Consent
    Mutant(
        "any notice counts as accepted",
        CONSENT,
        "            if accepted != notice.fingerprint:",
        "            if not accepted:",
        CONSENT_TESTS,
    ),
    Mutant(
        "a withdrawn acceptance counts",
        CONSENT,
        "    if latest and not latest.withdrawn_at and latest.fingerprint == notice.fingerprint:",
        "    if latest and latest.fingerprint == notice.fingerprint:",
        CONSENT_TESTS,
    ),
    # Keys
    Mutant(
        "an expired key is valid",
        CALLERS,
        "    if keys.is_expired(key, now):\n        raise KeyExpired\n",
        "",
        KEY_TESTS,
    ),
    Mutant(
        "a key may be used from anywhere",
        CALLERS,
        "    if not _is_allowed(key, address):\n        raise AddressRefused\n",
        "",
        KEY_TESTS,
    ),
    Mutant(
        "a key keeps scopes that its owner's role has lost",
        "heygen_portal/people/api_keys/scopes.py",
        "if all(permissions.get(name) for name in RULES[scope].permissions)",
        "if RULES[scope].permissions",
        ("tests/people/test_api_keys.py::test_a_key_does_what_its_owner_may_do_at_this_moment",),
    ),
    Mutant(
        "an idempotency key answers another request",
        "heygen_portal/rest/idempotency.py",
        "    if row.fingerprint != fingerprint:",
        "    if not row.fingerprint:",
        IDEMPOTENCY_TESTS,
    ),
    # Webhooks
    Mutant(
        "a webhook follows redirects",
        SENDING,
        "allow_redirects=False,",
        "allow_redirects=True,",
        ("tests/webhooks/test_sending.py::test_a_redirect_to_this_machine_is_not_followed",),
    ),
    Mutant(
        "a webhook's name leads inside if one of its addresses does not",
        ADDRESSES,
        "if not all(map(is_allowed, addresses)):",
        "if not any(map(is_allowed, addresses)):",
        ("tests/webhooks/test_sending.py::test_a_name_that_leads_inside_is_refused",),
    ),
    Mutant(
        "a webhook's address in the row is not checked",
        SENDING,
        "            addresses.check_url(url)  # the form",
        "            # the form",
        ("tests/attacks/people/test_webhooks.py::test_an_address_written_into_the_row_is_refused_like_in_the_form",),
    ),
    Mutant(
        "a session's messages overtake each other",
        "heygen_portal/webhooks/outbox.py",
        "None if key in has_earlier else max(now, message.at)",
        "max(now, message.at)",
        (f"{DELIVERY_TESTS}::test_a_later_message_of_a_session_waits_for_the_earlier_one",),
    ),
    Mutant(
        "a webhook's former secret signs for ever",
        DELIVERY,
        " and at < webhook.former_secret_until:",
        ":",
        (f"{DELIVERY_TESTS}::test_both_secrets_sign_while_one_is_replaced",),
    ),
    Mutant(
        "a receiver that is gone gets further messages",
        DELIVERY,
        "if any(answer.http_status == GONE for answer in failed):",
        "if not failed:",
        (f"{DELIVERY_TESTS}::test_a_receiver_that_says_it_is_gone_is_paused_at_once",),
    ),
    Mutant(
        "a receiver's wait is ignored",
        DELIVERY,
        "    return bool(rest and webhook.update(resumes_at=now + rest))",
        "    return False",
        (f"{DELIVERY_TESTS}::test_a_receiver_gets_nothing_before_the_time_it_asked_for",),
    ),
    Mutant(
        "every webhook is told what was said",
        DELIVERY,
        "    return webhook.includes_speech and message.event",
        "    return message.event",
        (f"{DELIVERY_TESTS}::test_speech_is_read_when_it_is_sent_and_only_where_chosen",),
    ),
    # The page
    Mutant(
        "54 a frozen picture is called missing",
        DIAGNOSIS,
        'facts.hadPicture ? "frozen" : facts',
        "facts",
        JS_RECOVERY,
    ),
    Mutant(
        "57 an expired token is called a network fault",
        DIAGNOSIS,
        'reason === Reason.NotAllowed ? "token" : "network"',
        'reason === Reason.NotAllowed ? "network" : "network"',
        JS_RECOVERY,
    ),
    Mutant("58 an insecure origin passes", CHECKS, "return isSecure ?", "return true ?", JS_DEVICE_CHECK),
    Mutant("60 a slow room is not retried", DIAGNOSIS, "if (status === 404 ||", "if (", JS_RECOVERY),
    Mutant(
        "61 a hidden video is called frozen", DIAGNOSIS, '  if (facts.isHidden) return "hidden";\n', "", JS_RECOVERY
    ),
    Mutant(
        "61 a track that arrives in a hidden tab is not attached",
        ROOM,
        "    track.attach(isVideo ? this.#video : this.#audio);\n",
        "    if (!globalThis.document?.hidden) track.attach(isVideo ? this.#video : this.#audio);\n",
        JS_ROOM,
    ),
    Mutant(
        "64 a subscribed track is not reported",
        ROOM,
        '    this.#report({ type: "track_subscribed", kind: track.kind, identity });\n',
        "",
        JS_ROOM,
    ),
    Mutant(
        "64 the connection's state is not reported",
        ROOM,
        '(state) => this.#report({ type: "connection_state", state })',
        "() => {}",
        JS_ROOM,
    ),
    Mutant("66 recovery begins after two seconds", LADDER, "first: 5_000,", "first: 2_000,", JS_RECOVERY),
    Mutant(
        "66 the ladder has no end",
        LADDER,
        "  if (ladder.rejoins >= MAX_REJOINS) return renew(ladder, event);\n",
        "",
        JS_RECOVERY,
    ),
    Mutant(
        "a hidden page climbs the ladder",
        LADDER,
        "return Boolean(isHidden || isBlocked || isEarly);",
        "return Boolean(isBlocked || isEarly);",
        JS_RECOVERY,
    ),
    Mutant(
        "70 a relay counts as UDP",
        CHECKS,
        ' && found.way.local !== "relay"',
        "",
        JS_DEVICE_CHECK,
    ),
    Mutant(
        "70 routes are not tried through relays alone",
        PROBE,
        'rtcConfig: { iceTransportPolicy: "relay", iceServers }',
        "rtcConfig: { iceServers }",
        JS_DEVICE_CHECK,
    ),
    Mutant(
        "70 TCP is not tried",
        PROBE,
        '    await room.simulateScenario("force-tcp");\n',
        "",
        JS_DEVICE_CHECK,
    ),
    Mutant(
        "70 a relay that does not answer counts as one that does",
        PROBE,
        "turnAnswers: offersTurn && (await answers(relays))",
        "turnAnswers: offersTurn",
        JS_DEVICE_CHECK,
    ),
    Mutant(
        "a key opens every operation",
        CALLERS,
        "chosen = scopes.parse(key.scopes) & set(wanted)",
        "chosen = frozenset(wanted)",
        ("tests/access/test_api_matrix.py::test_each_operation_is_open_to_exactly_its_scopes",),
    ),
    Mutant(
        "a replaced key stops at once",
        "heygen_portal/people/api_keys/keys.py",
        "filter(None, (stored.expires_at, now + overlap))",
        "filter(None, (stored.expires_at, now))",
        ("tests/people/test_api_keys.py::test_an_administrator_creates_replaces_and_revokes_a_key_on_record",),
    ),
    Mutant(
        "a replaced key works for ever",
        "heygen_portal/people/api_keys/keys.py",
        'update_fields=["replaced_by", "expires_at"]',
        'update_fields=["replaced_by"]',
        ("tests/people/test_api_keys.py::test_an_administrator_creates_replaces_and_revokes_a_key_on_record",),
    ),
    Mutant(
        "an ETag is the same for every answer",
        "heygen_portal/rest/operations.py",
        "hashlib.sha256(answer.content)",
        'hashlib.sha256(b"")',
        ("tests/api/test_requests.py::test_an_answer_that_the_caller_has_is_not_sent_again",),
    ),
    Mutant(
        "a cursor skips rows of the same time",
        "heygen_portal/rest/pages.py",
        ' | Q(**{by: value, f"pk__{compare}": pk})',
        "",
        ("tests/api/test_requests.py::test_pages_follow_each_other_without_gaps_while_rows_are_added",),
    ),
    Mutant(
        "a paused webhook is sent what programs send again",
        "heygen_portal/webhooks/changes.py",
        "    if not webhook.is_enabled:\n        raise WebhookPaused\n",
        "    pass\n",
        ("tests/api/test_webhooks.py::test_deliveries_are_listed_and_sent_again_unless_the_webhook_is_paused",),
    ),
    Mutant(
        "a brand's colour needs the contrast of large text only",
        "heygen_portal/branding/colours.py",
        "MIN_CONTRAST = 4.5\n",
        "MIN_CONTRAST = 3.0\n",
        ("tests/branding/test_colours.py",),
    ),
    Mutant(
        "a logo that was changed in the database is sent",
        BRAND_VIEWS,
        "if hashlib.sha256(content).hexdigest() != sha256:",
        "if not content:",
        ("tests/branding/test_views.py",),
    ),
    Mutant(
        "a style sheet of another version is kept for a year",
        BRAND_VIEWS,
        'UNCHANGING if asked == brand.stylesheet_version else "no-cache"',
        "UNCHANGING",
        ("tests/branding/test_views.py",),
    ),
    Mutant(
        "a refused picture leaves no entry in the audit log",
        "heygen_portal/people/organisation/admin.py",
        "for refused in form.refused:",
        "for refused in ():",
        ("tests/people/test_brand.py",),
    ),
    Mutant(
        "a change of the brand takes effect when it is read again",
        "heygen_portal/people/organisation/changes.py",
        "    transaction.on_commit(brands.forget)\n",
        "",
        ("tests/people/test_brand.py",),
    ),
    Mutant(
        "browsers get languages that are not offered",
        "heygen_portal/branding/languages.py",
        "if translation.get_language() not in brand.language_codes:",
        "if False:",
        ("tests/people/test_brand.py",),
    ),
)
