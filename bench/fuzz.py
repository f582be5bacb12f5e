"""100,000 invalid and partly valid inputs to the emulator's routes and sockets.

The emulator must stay alive, answer each in the service's format, and not leak memory.
"""

import argparse
import asyncio
import json
import subprocess
import time

from tests.emulator.fuzz import Fuzz
from tests.support import servers


async def main(inputs: int, seed: int) -> None:
    with servers.emulator(
        media=False, args=["--control", "--rule", "live_rate=1000000", "--concurrency", "50"]
    ) as emulator:
        warm = await Fuzz(emulator.url, emulator.api_key, seed).run(inputs // 10)
        before = memory_mb(emulator.process.pid)
        began = time.monotonic()
        report = await Fuzz(emulator.url, emulator.api_key, seed + 1).run(inputs)
        seconds = time.monotonic() - began
        after = memory_mb(emulator.process.pid)
        broken = emulator.process.output().count("Traceback")
    wrong = warm.wrong + report.wrong
    for line in wrong[:20]:
        print(line)
    for status, count in sorted(report.statuses.items()):
        print(f"answered {status} {count:>12}")
    print(f"inputs        {report.inputs:>10}, {report.inputs / seconds:.0f} a second")
    print(f"wrong answers {len(wrong):>10}, stack traces {broken}")
    print(f"memory        {before:>10.0f} MB before, {after:.0f} MB after")
    result = {
        "bench": "fuzz",
        "inputs": report.inputs,
        "wrong": len(wrong),
        "tracebacks": broken,
        "rss_mb_before": round(before),
        "rss_mb_after": round(after),
    }
    print(json.dumps(result))


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process.

    `ps` reports kilobytes on Linux and macOS.
    """
    measured = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(measured.stdout) / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(main(options.inputs, options.seed))
