"""Versions of a knowledge base as saved here.

The base's own columns have the provider's texts.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models.catalogue import MAX_NAME_CHARACTERS, KnowledgeBase
from heygen_portal.runtime.text.model_fields import LimitedCharField

TEXT_FIELDS = ("name", "opening", "prompt")


class KnowledgeVersion(models.Model):
    """One saved version, stored after the provider accepted it and never changed."""

    base = models.ForeignKey(KnowledgeBase, models.PROTECT, related_name="versions", verbose_name=_("knowledge base"))
    number = models.PositiveIntegerField(_("version"))
    name = LimitedCharField(_("name"), max_characters=MAX_NAME_CHARACTERS)
    opening = models.TextField(_("greeting"), blank=True)
    prompt = models.TextField(_("prompt"), blank=True)
    saved_at = models.DateTimeField(_("saved"), default=timezone.now)
    # Empty: written at the provider.
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("saved by")
    )

    class Meta:
        verbose_name = _("knowledge base version")
        verbose_name_plural = _("knowledge base versions")
        ordering = ("base", "-number")
        constraints = (models.UniqueConstraint(fields=("base", "number"), name="knowledge_version_once"),)

    def __str__(self) -> str:
        return f"{self.name} {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new version. Raises TypeError for a stored one."""
        if not self._state.adding:
            raise TypeError("a version of a knowledge base is never changed")
        super().save(*args, **kwargs)
