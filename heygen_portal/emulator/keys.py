"""Where the application and its requests keep what the routes share."""

from typing import Final

from aiohttp import web

from heygen_portal.emulator.liveavatar.studio import LiveStudio
from heygen_portal.emulator.store import Caller
from heygen_portal.emulator.studio import Studio

STUDIO: Final = web.AppKey("studio", Studio)
LIVE: Final = web.AppKey("live", LiveStudio)
CALLER: Final = web.RequestKey("caller", Caller)
