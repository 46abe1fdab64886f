"""What the README and the layers promise, checked against the code."""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from pydantic_core import PydanticUndefined
from typer.main import get_command

from deployments import cli
from deployments.serve import declarations
from infra.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
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
    *(
        "aiohttp",
        "alembic",
        "anthropic",
        "langchain",
        "langchain_core",
        "langchain_openai",
        "onnxruntime",
    ),
    *("openai", "pgvector", "psycopg", "psycopg_pool", "sqlalchemy", "tokenizers", "torch"),
    *("transformers", "xllamacpp"),
}
STAND_UP = {"Dockerfile", "entrypoint.sh"}  # of containers: used from a checkout
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
    if path.relative_to(ROOT).parts[0] == "infra":
        return
    found = {name for name, _ in imports(path)}
    # The module of langchain_community's loaders gives them out as what they are.
    allowed = {"langchain_core"} if "langchain_community" in found else set()
    assert found & BEHIND_THE_DOOR <= allowed


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
        shown = "" if default in (None, PydanticUndefined, ()) else str(default)
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
    packages = {ROOT.joinpath(*name.split(".")) for name in setuptools["packages"]}
    assert {p.parent for p in MODULES if p.name == "__init__.py"} <= packages
    for file in (f for layer in LAYERS for f in (ROOT / layer).rglob("*")):
        if file.is_dir() or "__pycache__" in file.parts or file.name in STAND_UP:
            continue
        package = next(folder for folder in file.parents if folder in packages)
        inside = file.relative_to(package)
        as_module = file.suffix == ".py" and file.parent == package
        patterns = setuptools["package-data"]["*"]
        assert as_module or any(
            fnmatch(str(inside), pattern) and len(inside.parts) == len(Path(pattern).parts)
            for pattern in patterns
        ), f"{name_of(file)} is in no package data"


def test_the_readme_shows_the_folders_there_are() -> None:
    shown = set(re.findall(r"^    ([\w/]+/)  ", section("Layers"), re.MULTILINE))
    assert all((ROOT / folder).is_dir() for folder in shown), shown
    assert {f"{layer}/" for layer in LAYERS} <= shown


def test_the_readme_names_every_pattern_and_its_file() -> None:
    named = set(re.findall(r"`(flows/\w+\.py)` \|$", section("The patterns"), re.MULTILINE))
    assert named == {name_of(p) for p in (ROOT / "flows").glob("[!_]*.py")} - {"flows/tools.py"}


def test_the_readme_shows_every_command_and_no_other() -> None:
    lines = re.findall(r"^    patterns (.+)$|\$\(patterns (\w+)\)", README, re.MULTILINE)
    lines += re.findall(r"^    (?:PATTERNS_\w+=\S+ .*)patterns (.+)$", README, re.MULTILINE)
    shown = set()
    for words in (shlex.split("".join(found)) for found in lines if "…" not in found):
        names, command = [], get_command(cli.app)
        while words and words[0] in getattr(command, "commands", {}):
            names.append(words[0])
            command = command.commands[words.pop(0)]
        assert names, words
        assert not hasattr(command, "commands"), f"patterns {' '.join(names + words)}"
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, names
        shown.add(" ".join(names))
    assert shown == set(command_names(get_command(cli.app)))


def test_the_readme_speaks_of_targets_variables_and_files_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", code(README))) <= targets
    variables = {f"PATTERNS_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"\bPATTERNS_\w+", README)) <= variables
    files = re.findall(r"`((?:flows|tasks|infra|deployments|examples|tests)/[\w/.]+)`", README)
    assert len(files) > 20
    assert not [file for file in files if not (ROOT / file).exists()]
    links = re.findall(r"\]\(([^):#]+)\)", README)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_figure_of_the_readme_is_made_again_by_make_figures() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    made = re.findall(r"^\t\$\(BIN\)/python -m benchmarks\.(\w+)(.*)$", makefile, re.MULTILINE)
    shown = set(re.findall(r"`python -m benchmarks\.(\w+)", section("Figures")))
    assert {name for name, _ in made} == shown
    for name, arguments in made:
        source = (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
        known = set(re.findall(r"add_argument\(\s*\"(--[\w-]+)", source))
        assert set(re.findall(r"--[\w-]+", arguments)) <= known, name


def test_continuous_integration_runs_the_readmes_test_command() -> None:
    assert re.search(r"^    make test\b", README, re.MULTILINE)
    run = ROOT / ".ci" / "run"
    assert re.search(r"^exec make test\b", run.read_text(encoding="utf-8"), re.MULTILINE)
    assert os.access(run, os.X_OK)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_named_after_what_it_does(path: Path) -> None:
    assert not set(path.stem.split("_")) & EMPTY_NAMES


def section(title: str) -> str:
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def code(markdown: str) -> str:
    """What stands in code spans and indented blocks."""
    return "\n".join("".join(m) for m in re.findall(r"`([^`\n]+)`|^    (.+)$", markdown, re.M))


def command_names(command: Any, prefix: str = "") -> Iterator[str]:
    for name, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from command_names(inner, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def python(source: str, **environment: str | Path) -> str:
    variables = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    done = subprocess.run(
        [sys.executable, "-c", source], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
