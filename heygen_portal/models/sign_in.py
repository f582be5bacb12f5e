"""What the portal keeps about how people sign in."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class PreferredLanguage(models.Model):
    """The language that a person last signed in with or chose. Mail to them uses it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+", verbose_name=_("user")
    )
    code = models.CharField(_("language"), max_length=10)

    class Meta:
        verbose_name = _("preferred language")
        verbose_name_plural = _("preferred languages")

    def __str__(self) -> str:
        return f"{self.user_id} {self.code}"


class PreferredTimeZone(models.Model):
    """The time zone that a person's browser last reported.

    Their exports and mail use it.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+", verbose_name=_("user")
    )
    name = models.CharField(_("time zone"), max_length=64)

    class Meta:
        verbose_name = _("preferred time zone")
        verbose_name_plural = _("preferred time zones")

    def __str__(self) -> str:
        return f"{self.user_id} {self.name}"


class SignIn(models.Model):
    """The person that a row of the sign-in log is about.

    Deleted together with that row.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    succeeded = models.OneToOneField(
        "axes.AccessLog", models.CASCADE, null=True, related_name="+", verbose_name=_("sign-in")
    )
    failed = models.OneToOneField(
        "axes.AccessAttempt", models.CASCADE, null=True, related_name="+", verbose_name=_("failed sign-in")
    )

    class Meta:
        verbose_name = _("sign-in")
        verbose_name_plural = _("sign-ins")
        constraints = (
            models.CheckConstraint(condition=Q(succeeded=None) ^ Q(failed=None), name="sign_in_succeeded_or_failed"),
        )

    def __str__(self) -> str:
        return str(self.pk)
