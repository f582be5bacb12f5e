"""The Containerfile, parsed, and what a compose service mounts over it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dockerfile_parse import DockerfileParser

from local.paths import ROOT
from tests.support.compose import Document

Instruction = tuple[str, str]


@dataclass(frozen=True)
class Stage:
    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.instructions if name == instruction]


class Containerfile:
    """Stages by name, in the order of the file."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def stages(self) -> dict[str, Stage]:
        parser = DockerfileParser(fileobj=io.BytesIO(self.text.encode()))
        found: dict[str, tuple[str, list[Instruction]]] = {}
        name = ""
        for line in parser.structure:
            instruction, value = line["instruction"], line["value"]
            if instruction == "FROM":
                base, _, name = value.partition(" AS ")
                found[name] = (base, [])
            elif name and instruction != "COMMENT":
                found[name][1].append((instruction, value))
        return {name: Stage(name, base, tuple(rows)) for name, (base, rows) in found.items()}

    def chain(self, name: str) -> list[Stage]:
        """Return a stage and the stages that it is based on, from the bottom."""
        stage = self.stages[name]
        return [*(self.chain(stage.base) if stage.base in self.stages else []), stage]

    @property
    def volumes(self) -> list[str]:
        """Return the paths that the image declares as written."""
        return [path for value in self.stages["portal"].values("VOLUME") for path in json.loads(value)]

    @property
    def env(self) -> dict[str, str]:
        """Return the variables of the image."""
        pairs = [pair for stage in self.chain("portal") for value in stage.values("ENV") for pair in value.split()]
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


CONTAINERFILE = Containerfile((ROOT / "Containerfile").read_text())


def mounts_of_portal(service: Document) -> set[str]:
    """Return the paths on which a service may write."""
    volumes: list[Any] = service.get("volumes", [])
    return {
        *(mount.split(":")[1] for mount in volumes if not mount.endswith(":ro")),
        *(mount.split(":")[0] for mount in service.get("tmpfs", [])),
    }
