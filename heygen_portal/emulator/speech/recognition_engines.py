"""Recognition engines, each in its own process, as a decoder may hang.

English uses pocketsphinx, whose package includes a model. Any language uses faster-whisper if it is installed and
EMULATOR_WHISPER_MODEL names a model or its folder.
"""

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Final, Protocol

log = logging.getLogger(__name__)

MODEL_VARIABLE: Final = "EMULATOR_WHISPER_MODEL"
_TIMEOUT_FACTOR: Final = 2.0  # times the length of the utterance
_MIN_TIMEOUT_SECONDS: Final = 45.0  # allows for loading the model on a busy machine; a decoder that hangs is rare


class Engine(Protocol):
    """Recognizes one language for many sessions. Each session calls `close` once."""

    async def recognize(self, pcm: bytes) -> str:
        """Transcribe an utterance, 16 kHz mono. Return "" if not understood or timed out."""

    async def close(self) -> None: ...


class EngineProcess:
    """An engine in a child process, started on first use and restarted after a kill."""

    def __init__(self, *command: str) -> None:
        self.users = 0
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def recognize(self, pcm: bytes) -> str:
        async with self._lock:
            timeout = max(_MIN_TIMEOUT_SECONDS, len(pcm) / 32_000 * _TIMEOUT_FACTOR)
            try:
                return await asyncio.wait_for(self._ask(pcm), timeout)
            except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as exc:
                log.warning("speech was not recognised: %s", type(exc).__name__)
                await self._kill()
                return ""
            except asyncio.CancelledError:
                await self._kill()  # or its result would be read as the next one's
                raise

    async def close(self) -> None:
        self.users -= 1
        if not self.users:
            await self._kill()

    async def _ask(self, pcm: bytes) -> str:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(len(pcm).to_bytes(4, "big") + pcm)
        await self._process.stdin.drain()
        line = await self._process.stdout.readuntil(b"\n")
        return str(json.loads(line)["text"])

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            assert process.stdin
            process.stdin.close()
            await process.wait()


_engines: dict[tuple[int, str], EngineProcess] = {}


def engine_for(language: str) -> Engine | None:
    """Return the shared engine for a language ("en", "es"), or None without a model."""
    name = _engine_name(language)
    if name is None:
        return None
    key = (id(asyncio.get_running_loop()), f"{name} {language}")
    engine = _engines.get(key)
    if engine is None or not engine.users:
        engine = _engines[key] = EngineProcess(sys.executable, "-m", f"{__package__}.engine_process", name, language)
    engine.users += 1
    return engine


def _engine_name(language: str) -> str | None:
    if os.environ.get(MODEL_VARIABLE) and find_spec("faster_whisper"):
        return "whisper"
    return "pocketsphinx" if language == "en" else None
