"""Preview pictures of the avatars, drawn by the code that draws the avatars themselves."""

import asyncio
from functools import lru_cache

from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/_static/{look}.jpg")
async def picture(request: web.Request) -> web.Response:
    raise web.HTTPNotFound
