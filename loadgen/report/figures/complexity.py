"""What each arm costs to write and to keep, measured from the code itself.

Lines are lines of code (no blank ones, no comments), functions and cyclomatic complexity (McCabe's,
one more than the decisions in a function) are lizard's, dependencies are the imports that the
modules make.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from common import ROOT

# The arms, and beside them what all arms share.
ARMS: Final = ("grpc_aio", "http_aio", "blocking")
DOMAIN: Final = "common/servicos"
MACHINERY: Final = "common"
CONTRACT: Final = "proto"


@dataclass(frozen=True)
class Code:
    """Figures of one package, without its generated modules."""

    name: str
    modules: int
    lines: int
    functions: int
    complexity_mean: float
    complexity_max: int
    most_complex: str
    packages: tuple[str, ...]
    own_modules: int


@dataclass(frozen=True)
class Contract:
    """What a protocol needs written down: the .proto files and what is generated from them."""

    files: int
    lines: int
    generated_files: int
    generated_lines: int


def arms(root: Path = ROOT) -> list[Code]:
    """Each arm that this build has."""
    return [measured(root, name) for name in ARMS if (root / name).is_dir()]


def shared(root: Path = ROOT) -> list[Code]:
    """What every arm stands on: the domain, and the machinery around it."""
    return [measured(root, DOMAIN), measured(root, MACHINERY, without=DOMAIN)]


def contract(root: Path = ROOT) -> Contract:
    """The size of the gRPC contract, written and generated."""
    folder = root / CONTRACT
    written = sorted(folder.glob("*.proto"))
    generated = sorted([*folder.glob("*_pb2*.py"), *folder.glob("*_pb2.pyi")])
    return Contract(
        files=len(written),
        lines=sum(map(_proto_lines, written)),
        generated_files=len(generated),
        generated_lines=sum(len(path.read_text("utf-8").splitlines()) for path in generated),
    )


def room(service: str, root: Path = ROOT) -> int:
    """Lines of code of one service's own module in the domain."""
    import lizard

    lines: int = lizard.analyze_file(str(root / DOMAIN / f"{service}.py")).nloc
    return lines


@cache
def measured(root: Path, name: str, without: str | None = None) -> Code:
    """The figures of a folder of Python modules, `without` one of its own folders."""
    import lizard

    paths = [
        path
        for path in sorted((root / name).rglob("*.py"))
        if without is None or not path.is_relative_to(root / without)
    ]
    files = [lizard.analyze_file(str(path)) for path in paths]
    functions = [function for file in files for function in file.function_list]
    worst = max(functions, key=lambda function: function.cyclomatic_complexity, default=None)
    imported = {name for path in paths for name in _imports(path)}
    own = {path.name for path in root.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    outside = {module.partition(".")[0] for module in imported} - own - sys.stdlib_module_names
    complexities = [function.cyclomatic_complexity for function in functions]
    return Code(
        name=name,
        modules=len(paths),
        lines=sum(file.nloc for file in files),
        functions=len(functions),
        complexity_mean=sum(complexities) / len(complexities) if complexities else 0.0,
        complexity_max=max(complexities, default=0),
        most_complex=worst.name if worst is not None else "",
        packages=tuple(sorted(outside - {"__future__"})),
        own_modules=len(
            {
                module
                for module in imported
                if module.partition(".")[0] in own and not module.startswith(name.replace("/", "."))
            }
        ),
    )


def _imports(path: Path) -> Iterable[str]:
    """The modules that a file imports, as written; relative imports stay inside and are left out."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _proto_lines(path: Path) -> int:
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    return sum(1 for line in lines if line and not line.startswith("//"))
