"""Cost of the emulator: avatars talking in rooms, then sessions without media.

Twelve avatars at low quality talk concurrently in one process. Another process receives each of them through LiveKit
and counts the video frames. Then ten thousand sessions are created and started without media.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from livekit import rtc

SETTLE_S: Final = 3.0
COUNT_WINDOW_S: Final = 15.0
CLIENTS: Final = 16
RETRIES: Final = 20
RETRY_S: Final = 0.5
JOINS_IN_PARALLEL: Final = 3  # viewers at once, as each negotiation takes much CPU time
WORDS: Final = (
    "Mary had a little lamb whose fleece was white as snow, and everywhere that Mary went the lamb was sure to go. "
)


async def main(avatars: int, sessions: int) -> None:
    from tests.support import servers

    with servers.livekit() as livekit, servers.emulator(livekit, args=["--concurrency", str(avatars)]) as emulator:
        media = await measure_talking(
            emulator.url, emulator.api_key, emulator.process.pid, livekit.process.pid, avatars
        )
    with servers.emulator(media=False, args=["--concurrency", str(sessions)]) as emulator:
        silent = await measure_creation(emulator.url, emulator.api_key, emulator.process.pid, sessions)
    print(f"avatars talking at once, 640x360, H264      {avatars:>8}")
    print(f"frames per second, slowest / fastest        {media['fps_min']:>8.1f} / {media['fps_max']:.1f}")
    print(f"share of a core each, emulator              {media['core_percent_each']:>8.1f} %")
    print(f"share of a core each, LiveKit server        {media['livekit_percent_each']:>8.1f} %")
    print(f"sessions without media, created and started {sessions:>8}")
    print(f"created per second                          {silent['new_per_s']:>8.0f}")
    print(f"memory of the emulator with all of them     {silent['rss_mb']:>8.0f} MB")
    result = {
        "bench": "emulator",
        "avatars": avatars,
        "fps_min": media["fps_min"],
        "core_percent_each": media["core_percent_each"],
        "sessions_no_media": sessions,
        "new_per_s": round(silent["new_per_s"]),
        "rss_mb": round(silent["rss_mb"]),
    }
    print(json.dumps(result))


# --- with media ---


async def measure_talking(url: str, key: str, pid: int, livekit_pid: int, avatars: int) -> dict[str, float]:
    """Let avatars talk, and measure what viewers receive and what it costs."""
    async with aiohttp.ClientSession(url, headers={"X-Api-Key": key}) as http:
        rooms = [await _start_session(http) for _ in range(avatars)]
        watcher = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.emulator",
            "--watch",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert watcher.stdin
        assert watcher.stdout
        watcher.stdin.write(json.dumps(rooms).encode() + b"\n")
        await watcher.stdout.readuntil(b"watching\n")
        for room in rooms:
            await _talk(http, room["session_id"])
        await asyncio.sleep(SETTLE_S)
        before, livekit_before = cpu_s(pid), cpu_s(livekit_pid)
        watcher.stdin.write(b"count\n")
        counted = json.loads(await watcher.stdout.readline())
        cost, livekit_cost = cpu_s(pid) - before, cpu_s(livekit_pid) - livekit_before
        watcher.stdin.close()
        await watcher.wait()
    window = counted["seconds"]
    fps = [frames / window for frames in counted["frames"]]
    return {
        "fps_min": round(min(fps), 1),
        "fps_max": round(max(fps), 1),
        "core_percent_each": round(100 * cost / window / avatars, 1),
        "livekit_percent_each": round(100 * livekit_cost / window / avatars, 1),
    }


async def _start_session(http: aiohttp.ClientSession) -> dict[str, str]:
    data = await _post(http, "new", version="v2", quality="low", video_encoding="H264", avatar_id="default")
    await _post(http, "start", session_id=data["session_id"])
    return {name: data[name] for name in ("session_id", "url", "access_token")}


async def _talk(http: aiohttp.ClientSession, session_id: str) -> None:
    """Let an avatar talk for longer than the window.

    It may still be joining, as with real clients.
    """
    for _ in range(RETRIES):
        with suppress(RuntimeError):
            await _post(http, "task", session_id=session_id, text=WORDS * 8, task_type="repeat")
            return
        await asyncio.sleep(RETRY_S)
    raise RuntimeError(f"the avatar of {session_id} never joined")


async def _post(http: aiohttp.ClientSession, verb: str, **body: Any) -> dict[str, Any]:
    async with http.post(f"/v1/streaming.{verb}", json=body) as response:
        answer = await response.json()
    if response.status != 200:
        raise RuntimeError(f"streaming.{verb}: {answer}")
    return dict(answer.get("data") or {})


async def watch() -> None:
    """Join each room and count video frames in a window. Runs in a separate process."""
    lines = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    rooms = json.loads(await lines.readline())
    viewers = [Viewer() for _ in rooms]
    semaphore = asyncio.Semaphore(JOINS_IN_PARALLEL)
    await asyncio.gather(*(viewer.join(room, semaphore) for viewer, room in zip(viewers, rooms, strict=True)))
    print("watching", flush=True)
    await lines.readline()
    before, began = await asyncio.gather(*(viewer.frames() for viewer in viewers)), time.monotonic()
    await asyncio.sleep(COUNT_WINDOW_S)
    after = await asyncio.gather(*(viewer.frames() for viewer in viewers))
    frames = [late - early for late, early in zip(after, before, strict=True)]
    print(json.dumps({"frames": frames, "seconds": time.monotonic() - began}), flush=True)
    await lines.readline()
    for viewer in viewers:
        await viewer.leave()


class Viewer:
    """A viewer in one room, who receives video and audio."""

    def __init__(self) -> None:
        self._room = rtc.Room()
        self._video: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()
        self._room.on("track_subscribed", self._subscribed)

    async def join(self, room: dict[str, str], semaphore: asyncio.Semaphore) -> None:
        """Wait for the first video frame."""
        async with semaphore:
            await self._room.connect(room["url"], room["access_token"])
            async with asyncio.timeout(20):
                stream = rtc.VideoStream(await self._video)
                await anext(stream)
                await stream.aclose()

    async def frames(self) -> int:
        """Return WebRTC's count of decoded frames, because Python misses some when busy."""
        stats = await (await self._video).get_stats()
        return sum(each.inbound_rtp.inbound.frames_decoded for each in stats if each.HasField("inbound_rtp"))

    async def leave(self) -> None:
        await self._room.disconnect()

    def _subscribed(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_VIDEO and not self._video.done():
            self._video.set_result(track)


# --- without media ---


async def measure_creation(url: str, key: str, pid: int, sessions: int) -> dict[str, float]:
    """Create and start sessions over a few connections.

    Return the rate and the emulator's memory.
    """
    left = iter(range(sessions))
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(url, headers={"X-Api-Key": key}, connector=connector) as http:

        async def caller() -> None:
            for _ in left:
                await _start_session(http)

        began = time.monotonic()
        await asyncio.gather(*(caller() for _ in range(CLIENTS)))
        took = time.monotonic() - began
    return {"new_per_s": sessions / took, "rss_mb": memory_mb(pid)}


# --- what a process costs ---


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--avatars", type=int, default=12)
    options.add_argument("--sessions", type=int, default=10_000)
    options.add_argument("--watch", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    asyncio.run(watch() if chosen.watch else main(chosen.avatars, chosen.sessions))
