"""Forms of knowledge bases. The admin page defines the fields of the first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO, cast

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from avatars.knowledge import files, versions
from avatars.knowledge.files import Imported
from avatars.models import ProviderAccount
from avatars.models.knowledge import TEXT_FIELDS
from avatars.personas.concurrent_edits import ConcurrentEditForm


class KnowledgeBaseForm(ConcurrentEditForm):
    """Form that stores the texts at the provider as its last validation step.

    Texts that the provider refuses are therefore not stored here.
    """

    class Meta:
        help_texts = {
            "opening": _("Some providers say it automatically when a conversation starts."),
            "prompt": _("Describes who the avatar is, what it knows and how it speaks. Markdown."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "prompt" in self.fields:  # missing without permission to change
            self.fields["prompt"].required = True

    def versioned_fields(self) -> Iterable[str]:
        return TEXT_FIELDS

    def _post_clean(self) -> None:
        hook: Any = super()  # missing in the stubs
        hook._post_clean()
        if self.errors or not self.has_changed():
            return
        try:
            versions.store_at_provider(self.instance)
        except ValidationError as exc:
            self.add_error(None, exc)


class ImportForm(forms.Form):
    """A Markdown file, or a zip archive of many."""

    account = forms.ModelChoiceField(
        label=capfirst(_("account")), queryset=ProviderAccount.objects.all(), widget=UnfoldAdminSelectWidget
    )
    file = forms.FileField(
        label=_("File"),
        help_text=_(
            "A Markdown file or a zip archive of Markdown files. A file named like a knowledge base becomes "
            "its next version."
        ),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".md,.markdown,.txt,.zip"}),
    )

    def clean_file(self) -> Imported:
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        found = files.read_upload(cast(BinaryIO, file), file.name or "")
        if not found.texts:
            raise ValidationError(_("It contains no Markdown file."))
        return found
