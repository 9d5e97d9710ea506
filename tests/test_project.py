"""Rules of the project that a machine can hold."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest
from pydantic import BaseModel

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.config.sweep import SEARCHES, SweepConfig
from chat_finetune.config.trainers import TRAINERS
from docs.generate import CONFIG_PAGE, config_page

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAX_LINES_PER_FILE = 400


def tracked(pattern: str = "*") -> list[Path]:
    """The committed files whose name matches; a file that a session has deleted does not count."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", pattern], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def pages() -> list[Path]:
    return tracked("*.md")


# --- What a newcomer meets


def test_the_version_is_in_the_changelog() -> None:
    assert re.search(rf"^## {re.escape(PROJECT['version'])}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_every_make_command_in_the_documentation_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        word for page in pages() for word in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.M)
    }
    assert {"demo", "test"} <= named <= targets


def documented_commands() -> dict[tuple[str, str], set[str]]:
    """The options that the documentation uses of each command of our two programs."""
    asked: dict[tuple[str, str], set[str]] = {}
    for page in pages():
        used = re.findall(r"bin/(chat-finetune|azureml-local) ([a-z]+)(.*)$", page.read_text(), re.M)
        for program, command, rest in used:
            options = re.findall(r"--[a-z][\w.-]*", rest.partition(" -- ")[0])
            asked.setdefault((program, command), set()).update(options)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "command"), sorted(documented_commands()), ids=lambda word: word.replace("-", "_")
)
def test_every_command_in_the_documentation_is_understood(program: str, command: str) -> None:
    understood = subprocess.run(
        [Path(sys.executable).with_name(program), command, "--help"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert documented_commands()[program, command] <= set(re.findall(r"--[a-z][\w.-]*", understood.stdout))


def test_make_help_lists_every_command() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony
    assert re.findall(r"^ *make (\S+)", listed, re.M) == phony[1].split()


def test_without_a_usable_python_make_says_what_to_set(tmp_path: Path) -> None:
    result = subprocess.run(
        ["make", "setup", f"VENV={tmp_path / 'venv'}", "PYTHON=no-such-python"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "make setup PYTHON=" in result.stderr
    assert not (tmp_path / "venv").exists()


def test_every_requirement_has_one_pinned_version() -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line[:1].isalnum()
    )
    extras = PROJECT["optional-dependencies"].values()
    required = {*PROJECT["dependencies"], *(name for extra in extras for name in extra)}
    assert {name.lower() for name in required} <= {name.lower() for name in pins}
    assert [version for version in pins.values() if not re.fullmatch(r"[0-9][0-9a-z.]*", version)] == []


def test_a_job_on_azure_trains_with_the_versions_that_are_tested_here() -> None:
    """The pins of training/requirements.txt, of which a command job's conda file is made."""
    lines = (ROOT / "training" / "requirements.txt").read_text().splitlines()
    needed = {line.lower() for line in lines if line[:1].isalnum()}
    assert needed <= {line.lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}


# --- What the documentation says


def test_every_link_in_the_documentation_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages()
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if not target.startswith(("https://", "http://")) and not _resolves(page, target)
    ]
    assert broken == []


def _resolves(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    linked = page.parent / name if name else page
    if not linked.exists():
        return False
    if not anchor:
        return True
    headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.M)
    return anchor in {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        waiting += [linked for link in links if (linked := (page.parent / link).resolve()).is_file()]
    assert [str(page.relative_to(ROOT)) for page in tracked("docs/*.md") if page not in reached] == []


def test_the_configuration_page_is_current() -> None:
    assert CONFIG_PAGE.read_text(encoding="utf-8") == config_page(), "run: make docs"


# --- What is in the files


def test_no_file_names_a_path_of_one_machine_or_a_package_host() -> None:
    forbidden = re.compile(
        rb"(?<![\w.<>{}$-])/(?:root|home|work|Users|opt)/\w|pythonhosted\.org|//pypi\.org"
        rb"|download\.pytorch\.org|registry\.npmjs\.org|deb\.debian\.org"
    )
    found = [
        f"{path.relative_to(ROOT)}: {hit[0].decode()}"
        for path in tracked()
        if path.suffix != ".parquet" and (hit := forbidden.search(path.read_bytes()))
    ]
    assert found == []


def test_no_python_file_is_too_long_to_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in tracked("*.py")}
    assert {name: length for name, length in lengths.items() if length >= MAX_LINES_PER_FILE} == {}


@pytest.mark.parametrize("folder", ["flows", "tasks"])
def test_a_flow_or_task_file_holds_one_public_function_of_its_name(folder: str) -> None:
    for path in tracked(f"{folder}/*.py"):
        if path.name.startswith("_"):
            continue
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, kinds)]
        assert [node.name for node in functions if not node.name.startswith("_")] == [path.stem]


# --- Imports


def test_importing_the_flows_loads_no_heavy_library() -> None:
    flows = ", ".join(f"flows.{path.stem}" for path in tracked("flows/[!_]*.py"))
    script = (
        f"import sys, {flows}; loaded = {{name.split('.')[0] for name in sys.modules}}; "
        "print(*loaded & {'azure', 'mlflow', 'torch', 'datasets'})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert loaded.stdout.split() == []


@pytest.mark.slow
def test_imports_keep_their_contracts() -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "training"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize("package", ["commands", "flows", "tasks", "chat_finetune", "azureml_local", "chaos"])
def test_no_module_needs_itself(package: str) -> None:
    graph = grimp.build_graph(package)
    needed = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    TopologicalSorter(needed).prepare()  # raises CycleError, which names the circle


# --- Every knob, declared once


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}", model, name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")


FIELDS = [
    pytest.param(model, name, id=path)
    for path, model, name in (
        *fields(RetrainConfig),
        *fields(SweepConfig, "sweep."),
        *(field for kind, search in SEARCHES.items() for field in fields(search, f"{kind}.")),
        *(field for kind, trainer in TRAINERS.items() for field in fields(trainer, f"{kind}.")),
    )
]


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_field_has_what_the_form_shows(model: type[BaseModel], name: str) -> None:
    field = model.model_fields[name]
    schema = model.model_json_schema()["properties"][name]
    assert not field.is_required()
    assert field.description
    assert field.description.endswith((".", "?"))
    assert schema["position"] == list(model.model_fields).index(name)
    for variant in schema.get("anyOf", [schema]):
        if variant.get("type") in {"integer", "number"}:
            assert {"minimum", "exclusiveMinimum"} & variant.keys()
