"""The form of a model service. The admin page defines its fields."""

from __future__ import annotations

from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from avatars.model_services import connection
from avatars.models import ModelService
from heygen_portal.console.key_form import KEY_WIDGET, KeyForm
from heygen_portal.providers.contract.model_errors import ModelError, ModelRefused


class ModelServiceForm(KeyForm):
    key_destination = frozenset({"base_url"})

    class Meta:
        widgets = {"api_key": KEY_WIDGET}
        help_texts = {
            "api_key": _(
                "The key is never shown again. Leave empty to keep it. Enter it again when you change the address. "
                "A service of your own that needs no key accepts any."
            )
        }

    def check_key(self) -> None:
        service = ModelService(base_url=self.cleaned_data["base_url"], api_key=self.cleaned_data["api_key"])
        try:
            async_to_sync(connection.list_models)(service)
        except ModelRefused as exc:
            if exc.is_key_refused:
                self.add_error("api_key", ValidationError(_("The service does not accept this key.")))
        except ModelError:
            self.is_unchecked = True
