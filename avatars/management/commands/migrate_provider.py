"""Move personas from one account to another. A dry run without `--apply`."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations
from django.utils.translation import gettext as _

from avatars.accounts import migration
from avatars.models import Avatar, CatalogueEntry, KnowledgeBase, ProviderAccount, Voice
from heygen_portal.providers.contract.provider import ProviderError

KINDS: dict[str, tuple[type[CatalogueEntry], str]] = {
    "avatar": (Avatar, "provider_avatar_id"),
    "voice": (Voice, "provider_voice_id"),
    "base": (KnowledgeBase, "provider_knowledge_base_id"),
}


class Command(BaseCommand):
    help = "Moves personas to another account: avatars, voices and knowledge bases. Shows what would be done first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="name of the account that they are with")
        parser.add_argument("target", help="name of the account that they are to be with")
        parser.add_argument("--apply", action="store_true", help="do it; without, only what would be done is shown")
        for kind in KINDS:
            parser.add_argument(
                f"--{kind}", action="append", default=[], metavar="OLD=NEW", help=f"the provider's IDs of a {kind}"
            )

    @no_translations  # commands always write English
    def handle(self, **options: Any) -> None:
        source, target = (self._account(options[name]) for name in ("source", "target"))
        if source == target:
            raise CommandError("These are the same account.")
        choices = {pair: new for kind in KINDS for pair, new in self._choices(kind, options[kind], source, target)}
        planned = migration.plan(source, target, choices)
        for match in planned.matches:
            copied = _("to be copied") if match.is_to_be_copied else _("no match")
            self.stdout.write(f"{match.kind:8}{match.old} → {match.new or copied}")
        if not options["apply"]:
            self._show(planned)
            return
        try:
            for line in async_to_sync(migration.apply)(planned):
                self.stdout.write(line)
        except ProviderError as exc:
            raise CommandError(f"{target} did not take a knowledge base ({exc}). No persona was moved.") from exc

    def _show(self, planned: migration.Plan) -> None:
        for move in planned.moves:
            state = " ".join(move.obstacles) if move.obstacles else "; ".join(move.described)
            self.stdout.write(f"{'stays' if move.obstacles else 'moves':8}{move.persona}: {state}")
        self.stdout.write("Nothing was changed. With --apply it is.")

    def _account(self, name: str) -> ProviderAccount:
        if account := ProviderAccount.objects.filter(name=name).first():
            return account
        known = ", ".join(ProviderAccount.objects.values_list("name", flat=True))
        raise CommandError(f"There is no account {name}. There are: {known}")

    def _choices(
        self, kind: str, pairs: list[str], source: ProviderAccount, target: ProviderAccount
    ) -> list[tuple[tuple[str, int], int]]:
        model, key = KINDS[kind]
        found = []
        for pair in pairs:
            rows = [
                model._default_manager.filter(account=account, **{key: provider_id}).first()
                for account, provider_id in zip((source, target), pair.split("=", 1), strict=False)
            ]
            if len(rows) != 2 or not rows[0] or not rows[1]:
                raise CommandError(f"--{kind} {pair}: OLD is an ID of {source}, NEW one of {target}.")
            found.append(((kind, rows[0].pk), rows[1].pk))
        return found
