"""HTTPS with a persistent local authority and a new certificate at each start."""

import ssl
from pathlib import Path
from typing import Final

import trustme

from heygen_portal.emulator.face.sprites import user_cache

# Published clients have the service's host name hard-coded.
HOST_NAMES: Final = ("api.heygen.com", "localhost", "127.0.0.1", "::1")


def default_folder() -> Path:
    return user_cache() / "heygen-portal" / "ca"


def server_context(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return the TLS context for HOST_NAMES and the authority's certificate path.

    Clients must trust that certificate. The authority's key stays in `folder`, readable only by its owner.
    """
    authority = _authority(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*HOST_NAMES).configure_cert(context)
    return context, folder / "ca.pem"


def _authority(folder: Path) -> trustme.CA:
    certificate, key = folder / "ca.pem", folder / "ca-key.pem"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = trustme.CA(organization_name="Emulator on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    key.touch(mode=0o600)
    key.write_bytes(authority.private_key_pem.bytes())
    certificate.write_bytes(authority.cert_pem.bytes())
    return authority
