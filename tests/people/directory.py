"""A small OpenID Connect provider on loopback: code flow, PKCE, signed tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET, KEY_ID = "the-portal", "a-secret-between-two", "key-1"
Form = dict[str, str]


@dataclass
class Directory:
    """The next person to sign in, and the claims in the tokens."""

    url: str = ""
    person: dict[str, Any] = field(default_factory=dict)
    token_claims: dict[str, Any] = field(default_factory=dict)
    """Override claims of the ID token, to make it invalid."""
    is_refusing: bool = False
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048), repr=False)
    granted: dict[str, Form] = field(default_factory=dict)
    """The request for which each unused code was issued."""

    def configuration(self) -> dict[str, Any]:
        paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "userinfo_endpoint": "/userinfo"}
        places = {name: self.url + path for name, path in paths.items()}
        return {
            **places,
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "code_challenge_methods_supported": ["S256"],
        }

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]}

    def authorize(self, asked: Form) -> str:
        """Return the redirect URL, with a code or an error."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        answer = {"state": asked["state"]}
        if self.is_refusing:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self.granted[answer["code"]] = asked
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def token(self, asked: Form) -> tuple[int, dict[str, Any]]:
        granted = self.granted.pop(asked["code"], None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(asked["code_verifier"].encode()).digest()).decode().rstrip("=")
        is_right = (
            granted is not None
            and proof == granted["code_challenge"]
            and asked["redirect_uri"] == granted["redirect_uri"]
            and (asked["client_id"], asked["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
        )
        if not is_right:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "iat": now, "exp": now + 60, **self.person, **self.token_claims}
        signed = jwt.encode(claims, self.key, "RS256", headers={"kid": KEY_ID})
        return 200, {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "id_token": signed}


@contextmanager
def serving() -> Iterator[Directory]:
    directory = Directory()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, query = urlsplit(self.path).path, urlsplit(self.path).query
            if path == "/authorize":
                self.send_response(302)
                self.send_header("Location", directory.authorize(_form(query)))
                self.end_headers()
                return
            documents = {"/.well-known/openid-configuration": directory.configuration, "/keys": directory.keys}
            self._say(200, documents.get(path, lambda: directory.person)())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._say(*directory.token(_form(body)))

        def _say(self, status: int, body: dict[str, Any]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        directory.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield directory
        finally:
            server.shutdown()
            thread.join()


def _form(text: str) -> Form:
    return {name: values[0] for name, values in parse_qs(text).items()}
