from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from heygen_portal.trail import key_rotation, signing
from heygen_portal.trail.key_rotation import Progress, Store
from sessions.speech.keys import SpeechKeyStore


class Command(BaseCommand):
    help = (
        "Re-encrypt provider keys, second factors and speech keys with the current FIELD_ENCRYPTION_KEY and"
        " DJANGO_SECRET_KEY. Can be interrupted and repeated. Seals and signatures are not changed: retired keys"
        " still verify them. Exit code 1 while anything is left or cannot be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only print what is left to do")

    @no_translations
    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        self.stdout.write(f"Current key: {signing.key_id()}")
        for name in [*signing.keys("sign")][1:]:
            self.stdout.write(f"Retired key: {name}. Keep it: it verifies what it signed.")
        found = [self._rotate(store, is_dry=check) for store in [*key_rotation.stores(), SpeechKeyStore()]]
        if unreadable := sum(each.unreadable for each in found):
            raise CommandError(
                f"{unreadable} cannot be read with any key. Add the key that they were encrypted with to"
                " FIELD_ENCRYPTION_KEY_FALLBACKS or DJANGO_SECRET_KEY_FALLBACKS."
            )
        if left := sum(each.left for each in found):
            raise CommandError(f"{left} are left to re-encrypt: run rotate_keys.")
        self.stdout.write("Nothing is left. Run rebuild_word_index to rebuild the word index of transcripts.")

    def _rotate(self, store: Store, *, is_dry: bool) -> Progress:
        def tell(progress: Progress) -> None:
            if self.stdout.isatty():
                self.stdout.write(f"{store.name}: {progress.rotated} re-encrypted", ending="\r")

        found = key_rotation.rotate(store, is_dry=is_dry, on_progress=tell)
        self.stdout.write(
            f"{store.name}: {found.rotated} re-encrypted, {found.current} were current, {found.left} left,"
            f" {found.unreadable} unreadable"
        )
        return found
