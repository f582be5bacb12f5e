"""The form of a new recorded video."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminFileFieldWidget

from avatars.catalogue import voices
from avatars.models import Avatar, Video
from heygen_portal.runtime.generics import AnyModelForm

MAX_SCRIPT_BYTES = 64 * 1024


class VideoForm(AnyModelForm):
    """Form whose script is typed or uploaded as a text file. Sound files are refused."""

    script = forms.FileField(
        label=capfirst(_("or a text file")),
        required=False,
        help_text=_(
            "Plain text (UTF-8) to use as the script. Sound files are not accepted: a video is made from text only."
        ),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".txt,text/plain"}),
    )

    class Meta:
        model = Video
        fields = ("title", "text", "avatar", "voice")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "text" in self.fields:  # missing without permission to add
            self.fields["text"].required = False

    def clean_script(self) -> str:
        script: UploadedFile[bytes] | None = self.cleaned_data["script"]
        if script is None:
            return ""
        kind = (script.content_type or "").partition("/")[0]
        if kind in ("audio", "video"):
            words = _("This is a sound or video file. A video is made from text only: enter the avatar’s script.")
            raise ValidationError(words, code="audio")
        if (script.size or 0) > MAX_SCRIPT_BYTES:
            raise ValidationError(_("This file is too large for a text."))
        try:
            text: str = script.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            words = _("This is not plain UTF-8 text. A video is made from text only, not from sound or documents.")
            raise ValidationError(words, code="no_text")
        return text.strip()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        typed, script = cleaned.get("text", "").strip(), cleaned.get("script", "")
        if typed and script:
            raise ValidationError(_("Enter the text or upload a file, not both."))
        cleaned["text"] = typed or script
        self._check_avatar_and_voice(cleaned["avatar"], cleaned["text"])
        return cleaned

    def _check_avatar_and_voice(self, avatar: Avatar, text: str) -> None:
        capabilities, voice = avatar.account.capabilities, self.cleaned_data.get("voice")
        if not capabilities.makes_videos:
            self.add_error(
                "avatar",
                _("This avatar’s provider does not make recorded videos. Choose an avatar of another account."),
            )
        elif avatar.gone_at or not avatar.is_active:
            self.add_error("avatar", _("The provider no longer offers this avatar. Choose another one."))
        elif voice and (voice.account_id != avatar.account_id or voice.gone_at):
            self.add_error("voice", _("Choose a voice that the avatar’s account currently offers."))
        elif not voice and not voices.default_voice(avatar):
            self.add_error("voice", _("This avatar has no voice of its own. Choose one."))
        if not text:
            self.add_error("text", _("Enter the avatar’s script."))
        elif len(text) > capabilities.max_video_text_characters:
            words = _("At most %(most)d characters. This text has %(count)d.")
            params = {"most": capabilities.max_video_text_characters, "count": len(text)}
            self.add_error("text", ValidationError(words, params=params))
