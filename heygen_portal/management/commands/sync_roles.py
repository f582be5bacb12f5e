from typing import Any

from django.core.management.base import BaseCommand

from heygen_portal.people.access import roles


class Command(BaseCommand):
    help = "Makes the groups what the table of roles says."

    def handle(self, **options: Any) -> None:
        roles.sync()
        self.stdout.write("Roles: " + ", ".join(role.group for role in roles.ROLES))
