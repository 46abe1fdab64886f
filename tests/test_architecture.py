"""What the README and the layers promise, checked against the code."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from prefect.utilities.callables import parameter_schema
from pydantic_core import PydanticUndefined

from deployments.serve import declarations
from infra.settings import Settings

ROOT = Path(__file__).parents[1]
LAYERS = ("flows", "tasks", "infra", "deployments")
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
MAY_IMPORT = {
    "flows": {"flows", "tasks", "prefect"},
    "tasks": {"tasks", "infra", "prefect"},
    "infra": {"infra"},
    "deployments": {"deployments", "flows", "tasks", "infra", "prefect"},
}
OURS = {*LAYERS, "prefect"}
# Vendors that only `infra` talks to.
BEHIND_THE_DOOR = {
    *("alembic", "anthropic", "langchain", "langchain_core", "langchain_openai", "onnxruntime"),
    *("openai", "pgvector", "psycopg", "psycopg_pool", "sqlalchemy", "tokenizers", "xllamacpp"),
}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The top-level packages that a module imports, and whether it does so when it is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                found = [module]
            case ast.ImportFrom():
                pytest.fail(f"{name_of(path)} imports relatively, line {node.lineno}")
            case _:
                continue
        yield from ((name.split(".")[0], id(node) not in late) for name in found)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_import_points_back(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    assert {name for name, _ in imports(path)} & OURS <= MAY_IMPORT[layer]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_vendors_are_met_in_infra_alone(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] != "infra":
        assert not {name for name, _ in imports(path)} & BEHIND_THE_DOOR


def test_flows_import_nothing_but_prefect_and_tasks() -> None:
    allowed = MAY_IMPORT["flows"] | set(sys.stdlib_module_names)
    for path in (ROOT / "flows").rglob("*.py"):
        assert {name for name, _ in imports(path)} <= allowed, name_of(path)


def test_the_retiring_langchain_community_is_imported_in_one_module() -> None:
    users = [name_of(p) for p in MODULES if "langchain_community" in {n for n, _ in imports(p)}]
    assert len(users) <= 1


def test_the_command_line_starts_without_heavy_imports() -> None:
    heavy = {"flows", "langchain", "numpy", "pandas", "prefect", "psycopg", "pydantic", "tasks"}
    source = f"import sys, deployments.cli; print(*sorted(sys.modules.keys() & {heavy}))"
    assert python(source).split() == []


def test_importing_touches_nothing_outside(tmp_path: Path) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in MODULES
        if path.parent.name not in ("migrations", "versions")
    ]
    home = tmp_path / "home"
    python(f"import importlib; [importlib.import_module(n) for n in {names}]", PATTERNS_HOME=home)
    assert not home.exists()


def test_only_settings_reads_our_variables() -> None:
    reading = re.compile(r"""\bos\.(?:environ|getenv)\b.*PATTERNS_""")
    readers = {name_of(path) for path in MODULES if reading.search(path.read_text("utf-8"))}
    assert readers <= {"infra/settings.py"}


def test_env_example_is_what_the_settings_are() -> None:
    def line(name: str) -> str:
        field = Settings.model_fields[name]
        default = field.default
        shown = "" if default in (None, PydanticUndefined) else str(default)
        return f"# {field.description}\n#PATTERNS_{name.upper()}={shown}\n"

    fields = "\n".join(line(name) for name in Settings.model_fields)
    head = (
        "# Every setting, with its default. Copy to .env, and load it with: "
        "set -a; . ./.env; set +a\n\n"
    )
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == head + fields


@pytest.mark.parametrize("declared", declarations(), ids=lambda declared: declared.name)
def test_every_deployment_loads_and_takes_its_parameters(declared) -> None:  # type: ignore[no-untyped-def]
    flow = declared.load()
    assert declared.description.strip()
    assert declared.tags
    for schedule in declared.schedules:
        flow.validate_parameters({**declared.parameters, **schedule.parameters})
    known = parameter_schema(flow).properties.keys()
    assert declared.parameters.keys() <= known


def test_every_package_and_its_data_are_installed() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = config["tool"]["setuptools"]
    packages = {p.parent for p in MODULES if p.name == "__init__.py"}
    assert {".".join(p.relative_to(ROOT).parts) for p in packages} == set(setuptools["packages"])
    for file in (f for layer in LAYERS for f in (ROOT / layer).rglob("*")):
        if file.is_dir() or "__pycache__" in file.parts:
            continue
        package = next(folder for folder in file.parents if folder in packages)
        inside = file.relative_to(package)
        as_module = file.suffix == ".py" and file.parent == package
        patterns = setuptools["package-data"]["*"]
        assert as_module or any(
            fnmatch(str(inside), pattern) and len(inside.parts) == len(Path(pattern).parts)
            for pattern in patterns
        ), f"{name_of(file)} is in no package data"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_named_after_what_it_does(path: Path) -> None:
    assert not set(path.stem.split("_")) & EMPTY_NAMES


def python(source: str, **environment: str | Path) -> str:
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    done = subprocess.run(
        [sys.executable, "-c", source], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
