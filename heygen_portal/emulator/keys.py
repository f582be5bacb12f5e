"""Where the application and its requests keep what the routes share."""

from typing import Final

from aiohttp import web

from heygen_portal.emulator.store import Caller
from heygen_portal.emulator.studio import Studio

STUDIO: Final = web.AppKey("studio", Studio)
CALLER: Final = web.RequestKey("caller", Caller)
