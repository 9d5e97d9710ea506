"""A job's own environment: a venv made of the pip section of its conda file, when the instance is told to.

Without being told, jobs run in the Python of the service, whatever environment they name. A venv has this
Python's version, and sees no package of the service. It is built once for each content and kept in the state
folder, so a temporary instance builds it anew.
"""

import asyncio
import hashlib
import json
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

import yaml

from azureml_local.errors import ServiceError

_LOG_TAIL_CHARS = 2000
_NOT_INSTALLED = re.compile(r"(python|pip)\b")  # a venv has both


class Environments:
    """Builds the environments of an instance's jobs, each once."""

    def __init__(self, folder: Path, *, build: bool) -> None:
        self._folder = folder
        self._build = build
        self._locks: dict[str, asyncio.Lock] = {}

    async def activate(self, conda_file: str | None) -> dict[str, str]:
        """The variables that lead a job into its environment, and none where the service's Python is to do.

        Raises:
            ServiceError: the conda file cannot be used, or what it requires cannot be installed.
        """
        if not self._build or not conda_file:
            return {}
        requirements = _requirements(conda_file)
        content = json.dumps([sys.version, requirements])
        key = hashlib.sha256(content.encode()).hexdigest()[:16]
        folder = self._folder / key
        async with self._locks.setdefault(key, asyncio.Lock()):
            if not (folder / "built").is_file():
                await _install(folder, requirements)
                (folder / "built").touch()
        return {"VIRTUAL_ENV": str(folder)}


def _requirements(conda_file: str) -> list[str]:
    try:
        document = yaml.safe_load(conda_file)
    except yaml.YAMLError as error:
        raise _failure(f"The conda file is no YAML: {error}") from error
    dependencies = document.get("dependencies") if isinstance(document, dict) else None
    if not isinstance(dependencies, list):
        raise _failure("The conda file has no list 'dependencies'.")
    named = [part for part in dependencies if isinstance(part, str) and not _NOT_INSTALLED.match(part)]
    if named:
        raise _failure(f"There is no conda here for {', '.join(named)}; write it in the pip section.")
    sections = [part.get("pip") or [] for part in dependencies if isinstance(part, dict)]
    return [str(requirement) for section in sections for requirement in section]


async def _install(folder: Path, requirements: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what a stopped instance left half built
    folder.parent.mkdir(exist_ok=True)
    await _run(sys.executable, "-m", "venv", str(folder))
    if requirements:
        file = folder / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
        pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check")
        await _run(*pip, "install", "--quiet", "-r", str(file))


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:  # the job was canceled, or the instance stops
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise _failure(output.decode("utf-8", "replace")[-_LOG_TAIL_CHARS:].strip())


def _failure(why: str) -> ServiceError:
    return ServiceError(400, "ImageBuildFailure", f"Image build failed. {why}")
