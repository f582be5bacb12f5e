from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from sessions.speech import search as speech_search


class Command(BaseCommand):
    help = (
        "Rebuild the word index of transcripts with the current FIELD_ENCRYPTION_KEY and a key of each person. Can be"
        " interrupted and repeated: it continues where it stopped. Search works in the meantime. Exit code 1 with"
        " --check while any line is left. --again indexes every line, where marks were lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="only print how many lines are left")
        parser.add_argument(
            "--again", action="store_true", help="start from the first line; after an interruption, continue without it"
        )

    @no_translations
    def handle(self, *args: Any, check: bool = False, again: bool = False, **options: Any) -> None:
        if again and not check:
            speech_search.restart_rebuild()
        left = speech_search.left_to_rebuild()
        if check and left:
            raise CommandError(f"{left} lines are left to index: run rebuild_word_index.")
        done = 0
        while not check and (count := speech_search.rebuild_batch()):
            done += count
            if self.stdout.isatty():
                self.stdout.write(f"{done} of {left} lines indexed", ending="\r")
        self.stdout.write(f"{done} lines indexed. Nothing is left.")
