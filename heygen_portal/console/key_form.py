"""A form with a key for another service. The stored key is never shown, nor sent to another address."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from heygen_portal.runtime.generics import AnyModelForm

KEY_WIDGET = UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"})


class KeyForm(AnyModelForm):
    """Base of a form whose column `api_key` is a secret."""

    # The fields that say where the key is sent, and how.
    key_destination: ClassVar[frozenset[str]]
    # True if the service did not respond, so that the key could not be checked.
    is_unchecked = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.pop("api_key", None)
        if "api_key" in self.fields:  # missing without permission to change
            self.fields["api_key"].required = not self.instance.pk

    def clean_api_key(self) -> str:
        """Keep the stored key only if its destination is unchanged.

        Otherwise another server could get it.
        """
        if self.instance.pk and not self.cleaned_data["api_key"] and self.key_destination & set(self.changed_data):
            raise ValidationError(_("The key would be sent to a new destination. Enter it again."))
        key: str = self.cleaned_data["api_key"] or self.instance.api_key
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValidationError(_("A key contains only letters, digits and punctuation: no spaces, no accents."))
        return key

    def full_clean(self) -> None:
        """Validate, then check the key at the service.

        The key is never sent to an address that the model refuses.
        """
        super().full_clean()
        if self.is_bound and not self.errors and {"api_key", *self.key_destination} & set(self.changed_data):
            self.check_key()

    def check_key(self) -> None:
        """Add an error if the service refuses the key, or set `is_unchecked` if it does not respond."""
        raise NotImplementedError
