"""Sizes of the code's folders, and whether their imports run one way.

A folder is a package without its subpackages. In the search for cycles, modules directly in an app (`urls`, `tasks`, …)
count as folders. Migrations are excluded.
"""

import json
import tomllib
from collections import Counter, defaultdict
from typing import Any, Final

import grimp

from local.paths import ROOT

APPS: Final = ("heygen_portal", "avatars", "sessions")
FOLDERS_SHOWN: Final = 15

Imports = list[tuple[str, str]]


def main() -> None:
    graph = grimp.build_graph(*APPS)
    modules = sorted(module for module in graph.modules if ".migrations" not in module)
    imports = [
        (module, imported)
        for module in modules
        for imported in sorted(graph.find_modules_directly_imported_by(module))
        if ".migrations" not in imported
    ]
    sizes = Counter(folder_of(module) for module in modules if not is_package(module))
    for folder, size in sizes.most_common(FOLDERS_SHOWN):
        print(f"{folder:<50} {size:>4} modules")
    back_up = sum(imports_back_up(imports, contract) for contract in contracts())
    found = cycles(imports)
    for cycle in found:
        print("cycle:", ", ".join(cycle))
    result = {
        "bench": "structure",
        "fullest_folder": max(sizes.values()),
        "sessions_folders": sum(folder.split(".")[0] == "sessions" for folder in sizes),
        "imports_back_up": back_up,
        "cycles": len(found),
    }
    print(json.dumps(result))


def is_package(module: str) -> bool:
    return (ROOT / module.replace(".", "/")).is_dir()


def folder_of(module: str) -> str:
    return module if is_package(module) else module.rpartition(".")[0]


def node_of(module: str) -> str:
    folder = folder_of(module)
    return module if folder in (*APPS, "heygen_portal.emulator") else folder


def contracts() -> list[dict[str, Any]]:
    """Return the contracts of pyproject.toml that put layers in order."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return [contract for contract in settings["contracts"] if contract["type"] == "layers"]


def imports_back_up(imports: Imports, contract: dict[str, Any]) -> int:
    """Count imports from a layer to a higher one, or to one beside it."""
    layers: dict[str, tuple[int, str]] = {}
    for container in contract.get("containers", [""]):
        for number, layer in enumerate(contract["layers"]):
            for name in layer.split("|"):
                module = f"{container}.{name.strip(' ()')}".lstrip(".")
                layers[module] = number, container

    def layer_of(module: str) -> str | None:
        parts = module.split(".")
        names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        return next((name for name in names if name in layers), None)

    count = 0
    for importer, imported in imports:
        above, below = layer_of(importer), layer_of(imported)
        if above and below and above != below and layers[above][1] == layers[below][1]:
            count += layers[below][0] <= layers[above][0]
    return count


def cycles(imports: Imports) -> list[list[str]]:
    """Return groups of folders that import each other: strongly connected components."""
    reached: dict[str, set[str]] = defaultdict(set)
    for importer, imported in imports:
        if node_of(importer) != node_of(imported):
            reached[node_of(importer)].add(node_of(imported))
    nodes = sorted(reached)
    for through in nodes:  # Warshall's closure: some eighty folders
        for node in nodes:
            if through in reached[node]:
                reached[node] |= reached[through]
    found = {tuple(sorted(other for other in reached[node] if node in reached[other])) for node in nodes}
    return sorted(list(cycle) for cycle in found if cycle)


if __name__ == "__main__":
    main()
