"""Tests of personas: scripted conversations with expectations, and their runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from avatars.models.personas import Persona, PersonaVersion
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField

MAX_TEST_NAME = 100
# A run without progress for this long was lost with its worker. A turn takes less: its answer and each judgement have
# limits of their own.
RUN_LOST_AFTER = timedelta(minutes=10)


class PersonaTest(models.Model):
    """One scripted conversation. `sessions.persona_tests.script` reads and writes `turns`."""

    persona = models.ForeignKey(Persona, models.CASCADE, related_name="tests", verbose_name=_("persona"))
    name = LimitedCharField(_("name"), max_characters=MAX_TEST_NAME)
    position = models.PositiveIntegerField(_("position"))
    turns = stored_json.ListField(_("turns"), default=list)
    saved_at = models.DateTimeField(_("saved"), default=timezone.now)

    class Meta:
        verbose_name = _("persona test")
        verbose_name_plural = _("persona tests")
        ordering = ("persona", "position", "pk")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("persona", "name"), name="persona_test_once"),)

    def __str__(self) -> str:
        return self.name


class PersonaTestRun(models.Model):
    """One run of all tests of a persona against one of its versions. The row stores progress and report."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting for the worker")
        RUNNING = "running", _("running")
        PASSED = "passed", pgettext_lazy("test", "passed")
        FAILED = "failed", pgettext_lazy("test", "failed")
        CAPPED = "capped", _("stopped by the spending cap")
        TOO_SLOW = "too_slow", _("stopped because it took too long")
        LOST = "lost", _("interrupted")

    class Trigger(models.TextChoices):
        STAFF = "staff", _("by staff")
        NIGHTLY = "nightly", _("nightly")
        CHANGED = "changed", _("after a change of its model or documents")

    version = models.ForeignKey(PersonaVersion, models.CASCADE, related_name="test_runs", verbose_name=_("version"))
    trigger = ChoiceField(_("started"), max_length=10, choices=Trigger, default=Trigger.STAFF)
    state = ChoiceField(_("status"), max_length=10, choices=State, default=State.WAITING)
    asked_at = models.DateTimeField(_("requested"), default=timezone.now)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("requested by")
    )
    # Time of the latest progress, or of the latest message to the workers.
    moved_at = models.DateTimeField(default=timezone.now)
    # Turns.
    done = models.PositiveIntegerField(_("done"), default=0)
    total = models.PositiveIntegerField(_("of"), default=0)
    # The tests as they were, each with what was answered and which expectations were not met.
    results = stored_json.ListField(_("results"), default=list)
    # What was tested: the library's version, and the model's name at its service.
    library_version = models.PositiveIntegerField(_("version of the library"), default=0)
    model = models.CharField(_("model"), max_length=400, blank=True)
    tokens = models.PositiveBigIntegerField(_("tokens used"), default=0)
    cost = models.DecimalField(_("credits"), max_digits=14, decimal_places=6, default=Decimal(0))

    class Meta:
        verbose_name = _("run of persona tests")
        verbose_name_plural = _("runs of persona tests")
        ordering = ("-asked_at", "-pk")
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                "version", condition=Q(state__in=("waiting", "running")), name="one_test_run_at_a_time"
            ),
            # Other jobs need the workers, too.
            models.UniqueConstraint("state", condition=Q(state="running"), name="one_test_run_is_running"),
        )
        indexes = (models.Index("asked_at", name="test_run_time"),)

    def __str__(self) -> str:
        return f"{self.version} {self.asked_at:%Y-%m-%d %H:%M}"

    @property
    def is_under_way(self) -> bool:
        return self.state in (self.State.WAITING, self.State.RUNNING)

    @property
    def is_outdated(self) -> bool:
        """Return whether other documents or another model answer by now."""
        return (self.library_version, self.model) != tested_with(self.version)

    def is_lost(self, now: datetime) -> bool:
        """Return whether the worker has stopped reporting progress."""
        return self.state == self.State.RUNNING and self.moved_at < now - RUN_LOST_AFTER


def tested_with(version: PersonaVersion) -> tuple[int, str]:
    """Return what answers for a version now: a version of its library, and which model of which service."""
    service = version.model_service
    model = f"{service.base_url} {service.chat_model}" if service else ""
    return version.library.version if version.library else 0, model
