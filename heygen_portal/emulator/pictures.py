"""Preview pictures of the avatars, served where the catalogue says they are."""

import asyncio

from aiohttp import web

routes = web.RouteTableDef()


@routes.get("/_static/{look:[a-z]+}.jpg")
async def picture(request: web.Request) -> web.Response:
    return await _jpeg(request.match_info["look"], is_face=False)


@routes.get("/_static/{look:[a-z]+}-face.jpg")
async def face(request: web.Request) -> web.Response:
    return await _jpeg(request.match_info["look"], is_face=True)


async def _jpeg(look: str, *, is_face: bool) -> web.Response:
    from heygen_portal.emulator import previews  # noqa: PLC0415 - without media, what draws is seldom needed

    if look not in previews.LOOKS:
        raise web.HTTPNotFound
    body = await asyncio.to_thread(previews.jpeg, look, is_face=is_face)
    return web.Response(body=body, content_type="image/jpeg", headers={"Cache-Control": "max-age=86400"})
