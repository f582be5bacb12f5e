"""Published third-party clients, run unchanged against the emulator.

Pipecat's HeyGen service and LiveKit Agents' OpenAI plugin are too large for the tests' environment, so each has its own
in the user's cache folder.
The vendor's JavaScript SDK is among the tests (tests/emulator/heygen/test_published_sdk.py).
"""

import asyncio
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Final

import aiohttp

from local.paths import ROOT, cache_folder
from tests.support import servers

PIPECAT: Final = "pipecat-ai[heygen]==1.14.0"
LIVEKIT: Final = "livekit-plugins-openai==1.8.9"
AVATAR: Final = "Nora_public_20260101"
MAX_DURATION_S: Final = 180


async def main() -> None:
    python, livekit_python = environment("pipecat-1.14.0", PIPECAT), environment("livekit-openai-1.8.9", LIVEKIT)
    with servers.livekit() as livekit, servers.emulator(livekit, args=["--control"]) as emulator:
        bot = [str(python), str(ROOT / "bench" / "_pipecat_bot.py"), emulator.url, emulator.api_key, AVATAR]
        done = await asyncio.to_thread(
            subprocess.run, bot, capture_output=True, text=True, timeout=MAX_DURATION_S, check=False
        )
        if done.returncode:
            sys.exit(done.stderr)
        seen = json.loads(done.stdout.splitlines()[-1])
        requests = await request_paths(emulator.url)
        asking = [str(livekit_python), str(ROOT / "bench" / "_livekit_model.py"), emulator.url, emulator.api_key]
        asked = await asyncio.to_thread(
            subprocess.run, asking, capture_output=True, text=True, timeout=MAX_DURATION_S, check=False
        )
        if asked.returncode:
            sys.exit(asked.stderr)
        told = json.loads(asked.stdout.splitlines()[-1])
    print(f"Pipecat called {', '.join(requests)}")
    print(f"frames        {seen['pictures']}, {seen['size'][0]}x{seen['size'][1]}" if seen["size"] else "no video")
    print(f"loudest       {seen['loudest']} of the 8000 sent")
    print(f"errors        {'; '.join(seen['errors']) or 'none'}")
    print(f"LiveKit Agents was told {told['answer']!r} ({told['tokens']} tokens), and called {told['called']}")
    result: dict[str, Any] = {
        "bench": "clients",
        "pipecat_pictures": seen["pictures"],
        "pipecat_loudest": seen["loudest"],
    }
    plugin = {"livekit_tokens": told["tokens"], "livekit_calls": len(told["called"])}
    print(json.dumps(result | {"pipecat_errors": len(seen["errors"])} | plugin))


def environment(name: str, requirement: str) -> Path:
    """Return the Python of an environment with a package, creating it if necessary."""
    folder = cache_folder() / name
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        print(f"Installing {requirement} into a separate environment (about 400 MB) …")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
        done.touch()
    return python


async def request_paths(url: str) -> list[str]:
    """Return the distinct request paths that the emulator received."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/_emulator/requests") as answer:
        log: dict[str, Any] = await answer.json()
    return list(dict.fromkeys(request["path"] for request in log["requests"]))


if __name__ == "__main__":
    asyncio.run(main())
