"""The form of a provider account. The admin page defines its fields."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from avatars.catalogue.sync import check_key
from avatars.models import ProviderAccount
from heygen_portal.console.key_form import KEY_WIDGET, KeyForm
from heygen_portal.providers import KINDS
from heygen_portal.providers.contract.provider import CredentialRefused, ProviderError


class ProviderAccountForm(KeyForm):
    key_destination = frozenset({"kind", "base_url", "key_header"})

    class Meta:
        widgets = {"api_key": KEY_WIDGET}
        help_texts = {
            "api_key": _(
                "The key is never shown again. Leave empty to keep it. Enter it again when you change "
                "the provider, the address or how the key is sent."
            )
        }

    def check_key(self) -> None:
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
