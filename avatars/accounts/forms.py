"""The form of a provider account. The admin page defines its fields."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from avatars.catalogue.sync import check_key
from avatars.models import ProviderAccount
from heygen_portal.providers import KINDS
from heygen_portal.providers.contract.provider import CredentialRefused, ProviderError
from heygen_portal.runtime.generics import AnyModelForm

KEY_DESTINATION_FIELDS = {"kind", "base_url", "key_header"}


class ProviderAccountForm(AnyModelForm):
    """Form of a provider account, which never shows the stored key."""

    # True if the provider did not respond, so that the key could not be checked.
    is_unchecked = False

    class Meta:
        widgets = {"api_key": UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"})}
        help_texts = {
            "api_key": _(
                "The key is never shown again. Leave empty to keep it. Enter it again when you change "
                "the provider, the address or how the key is sent."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.pop("api_key", None)
        if "api_key" in self.fields:  # missing without permission to change
            self.fields["api_key"].required = not self.instance.pk

    def clean_api_key(self) -> str:
        """Keep the stored key only if its destination is unchanged.

        Otherwise another server could get it.
        """
        if self.instance.pk and not self.cleaned_data["api_key"] and KEY_DESTINATION_FIELDS & set(self.changed_data):
            raise ValidationError(_("The key would be sent to a new destination. Enter it again."))
        key: str = self.cleaned_data["api_key"] or self.instance.api_key
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValidationError(_("A key contains only letters, digits and punctuation: no spaces, no accents."))
        return key

    def full_clean(self) -> None:
        """Validate, then check the key at the provider.

        The key is never sent to an address that the model refuses.
        """
        super().full_clean()
        if self.is_bound and not self.errors and {"api_key", *KEY_DESTINATION_FIELDS} & set(self.changed_data):
            self._check_key()

    def _check_key(self) -> None:
        """Add an error if the provider refuses the key.

        An unreachable provider is no error.
        """
        account = ProviderAccount(
            **{name: self.cleaned_data[name] for name in ("kind", "base_url", "api_key", "key_header")}
        )
        try:
            async_to_sync(check_key)(account)
        except CredentialRefused:
            provider = KINDS[account.kind].label
            words = _("%(provider)s does not accept this key. Check that the key belongs to this provider.")
            self.add_error("api_key", ValidationError(words, params={"provider": provider}))
        except ProviderError:
            self.is_unchecked = True
