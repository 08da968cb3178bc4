"""What shapes an artifact, and the fingerprint made of it.

A digest of the code covers every module of the project that the stage's module reaches by imports, so that editing
a helper counts. It covers the code's meaning, not its text: comments, docstrings, layout and messages (the arguments
of logging calls and of errors) do not count. Left out are contracts (they judge an artifact, they do not
shape it), settings (their values are in the recipe) and the modules in `LEFT_OUT`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

PROJECT = Path(__file__).resolve().parents[3]
PACKAGES = ("tasks", "flows")
LEFT_OUT = (
    *("tasks.shared.child_process", "tasks.shared.errors", "tasks.shared.files", "tasks.shared.progress"),
    *("tasks.shared.section", "tasks.shared.engine", "tasks.shared.runner", "tasks.shared.store", "tasks.shared.ui"),
    *("tasks.training.preflight", "tasks.training.loop.reports"),
)
"""Modules and packages that affect when a stage runs, or what it logs, but not its output."""
ATTEMPTS = 20
LOG_METHODS = frozenset(("debug", "info", "warning", "error", "exception", "critical", "log"))
LEFT_OUT_ANYWHERE = frozenset({"contract", "settings"})
"""In every stage's folder: what judges the output, and what declares values that the recipe holds anyway."""


class Recipe(BaseModel):
    """Everything that shapes an artifact, in readable form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    """Content digest of each input, by name."""
    sources: dict[str, str]
    """Digests of what lies outside the data folder (the corpus), by name."""
    code: dict[str, str]
    """Digest of each project module that the stage reaches."""
    libraries: dict[str, str]
    """Versions of the interpreter and of the libraries that shape the output."""

    @property
    def fingerprint(self) -> str:
        """80 bits in hexadecimal: the artifact's name and Prefect's cache key."""
        return digest_of(self.model_dump(mode="json"))[:20]


def digest_of(value: object) -> str:
    """sha256 of a JSON value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(before: Recipe, after: Recipe) -> list[str]:
    """The ingredients that changed, one line each, from what to what."""
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return [
        f"{kind} {key}: {_short(was)} → {_short(now)}"
        for kind in ("settings", "sources", "inputs", "code", "libraries")
        for key, was, now in _changes(old[kind], new[kind])
    ]


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict):
            yield from _changes(was, now, f"{prefix}{key}.")
        elif was != now:
            yield f"{prefix}{key}", was, now


def _short(value: object) -> str:
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)


def library_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """Versions of the interpreter (major.minor) and of installed distributions, without importing them."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: importlib.metadata.version(name) for name in sorted(distributions)}


def code_digests(module: str) -> dict[str, str]:
    """Digest of each project module that `module` reaches by imports, itself included."""
    digests: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in digests or (name != module and _left_out(name)):
            continue
        digests[name], reached = _read_module(name)
        waiting.extend(reached)
    return dict(sorted(digests.items()))


def _left_out(name: str) -> bool:
    return name.startswith(LEFT_OUT) or name.rpartition(".")[2] in LEFT_OUT_ANYWHERE


@cache
def _module_file(name: str) -> Path | None:
    """The file of a project module; None for packages' empty `__init__` and for names that are not modules."""
    path = PROJECT.joinpath(*name.split(".")).with_suffix(".py")
    return path if name.split(".", maxsplit=1)[0] in PACKAGES and path.is_file() else None


@cache
def _read_module(name: str) -> tuple[str, tuple[str, ...]]:
    path = _module_file(name)
    if path is None:
        raise LookupError(f"{name} is not a module of the project")
    tree = _Meaning().visit(parse(path.read_text(encoding="utf-8")))
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return digest, tuple(sorted({found for node in ast.walk(tree) for found in _imported(node, name)}))


def parse(source: str) -> ast.Module:
    """`ast.parse`, retried if another thread parses at the same moment.

    Python 3.11 and 3.12 count the depth of a tree for all threads together, and raise SystemError when a collection of
    garbage lets another thread in (CPython gh-106905). Prefect's threads parse too.
    """
    for _ in range(ATTEMPTS):
        try:
            return ast.parse(source)
        except SystemError:
            continue
    return ast.parse(source)


def _imported(node: ast.AST, module: str) -> Iterator[str]:
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), module.rpartition(".")[0])
        names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
    yield from (name for name in names if _module_file(name) is not None)


class _Meaning(ast.NodeTransformer):
    """Drops what does not change what code does: docstrings, messages, and imports made for type checkers only."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is_logging(node) or _name(node.func).endswith("Error"):
            node.args, node.keywords = [], []
        return self.generic_visit(node)


def _is_logging(call: ast.Call) -> bool:
    """A call of a method of `log`, or of what `logger(…)` or `getLogger(…)` returns."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LOG_METHODS:
        return False
    owner = call.func.value
    return _name(owner.func) in {"logger", "getLogger"} if isinstance(owner, ast.Call) else _name(owner) == "log"


def _name(node: ast.expr) -> str:
    """The last part of a dotted name; empty for other expressions."""
    return getattr(node, "attr", getattr(node, "id", ""))
