"""Why a model did not answer, in words."""

from __future__ import annotations

from django.utils.translation import gettext as _

from sessions.brain import answering, sources
from sessions.brain.model_stream import MODERATION_FAILED
from sessions.brain.tools import calls
from sessions.persona_tests import conversation


def text_of(code: str) -> str:
    """Return the text of a failure's code, which ends a sentence."""
    kind, _underscore, status = code.partition("_")
    if kind == "refused" and status.isdecimal():
        return _("the service refuses with HTTP %(status)s.") % {"status": status}
    texts = {
        "unreachable": _("the service does not respond."),
        "garbled": _("the response makes no sense."),
        answering.EMPTY: _("the answer has no words."),
        answering.TOO_SLOW: _("it took too long."),
        sources.NO_SERVICE: _("no model service is chosen."),
        sources.NO_KEY: _("the key of the model service cannot be decrypted."),
        MODERATION_FAILED: _("the moderation does not respond."),
        calls.TOO_MANY: _("it calls tools again and again."),
        conversation.NO_VERDICT: _("it gives no verdict."),
    }
    return texts.get(code, code)
