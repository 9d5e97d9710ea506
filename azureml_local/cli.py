"""``azureml-local``: start an instance, run a command inside one, look at one, empty one."""

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azureml_local import supervisor
from azureml_local.access import az
from azureml_local.compute.sizes import quota
from azureml_local.faults.control import FaultClient
from azureml_local.faults.parsing import FaultPlanError, parse_plan, read_document
from azureml_local.instance import Settings, facts, is_running, running
from azureml_local.lifecycle import Pace
from azureml_local.status import report, supervised

_REGISTRY = Path(__file__).parent.parent / "registry"
# All that an instance writes into its state folder: what `reset` removes, and nothing else.
_WRITTEN = (
    "bin",
    "blobs",
    "deployments",
    "environments",
    "jobs",
    "logs",
    "mlflow",
    "staging",
    "tls",
    "instance.json",
)
_STOP_SECONDS = 30.0


class CommandError(Exception):
    """What the user must know to do better, in one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command's exit code; ``run`` passes on that of its command (128 + signal when killed by one)."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.act(parsed)
    except (CommandError, FaultPlanError, RuntimeError) as error:
        print(f"azureml-local: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return code


def up(parsed: argparse.Namespace) -> int:
    with _settings(parsed) as settings:
        _log_to(settings.root, sys.stderr)
        asyncio.run(_serve(settings))
    return 0


def run(parsed: argparse.Namespace) -> int:
    command = parsed.command[1:] if parsed.command[:1] == ["--"] else parsed.command
    if not command:
        raise CommandError("no command to run: azureml-local run [options] -- COMMAND [arguments]")
    with _settings(parsed) as settings:
        _log_to(settings.root)
        return asyncio.run(_run_inside(settings, command))


def env(parsed: argparse.Namespace) -> int:
    print(_exports(_running(parsed.state)["environment"]))
    return 0


def status(parsed: argparse.Namespace) -> int:
    _require_state(parsed.state)
    print(report(parsed.state))
    return 0


def reset(parsed: argparse.Namespace) -> int:
    _require_state(parsed.state)
    found = facts(parsed.state)
    if found is not None and is_running(found):
        if not parsed.force:
            raise CommandError(
                f"an instance is running on {parsed.state} (pid {found['pid']}); stop it, or use --force"
            )
        os.kill(found["pid"], signal.SIGTERM)
        _wait(lambda: not is_running(found), f"the instance (pid {found['pid']})")
    for folder in supervised(parsed.state):  # jobs outlive an instance with state
        supervisor.end(folder)
    _wait(lambda: not any(supervised(parsed.state)), "its jobs")
    for entry in (*(parsed.state / name for name in _WRITTEN), *parsed.state.glob("state.db*")):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    print(f"The state in {parsed.state} is gone.")
    return 0


def faults(parsed: argparse.Namespace) -> int:
    """Let a running instance misbehave by a plan."""
    found = _running(parsed.state)
    with FaultClient(found["environment"]) as client:
        shown = {
            "set": lambda: client.set(read_document(parsed.file)),
            "clear": client.clear,
            "show": client.report,
        }[parsed.do]()
    print(json.dumps(shown, indent=1))
    return 0


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as service:
        print(_exports(service.environment))
        where = "temporary state" if settings.temporary else f"state in {settings.root}"
        print(
            f"# ready: {service.environment['HTTPS_PROXY']}, Azure as of {settings.as_of}, {where}",
            flush=True,
        )
        await stop.wait()


async def _run_inside(settings: Settings, command: list[str]) -> int:
    passing = _Passing()
    # First on the command's PATH, an `az` that is signed in to the service.
    path = os.pathsep.join([str(az.install(settings.root / "bin")), os.environ.get("PATH", os.defpath)])
    async with running(settings) as service:
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env={**os.environ, **service.environment, "PATH": path}
            )
        except OSError as error:
            raise CommandError(f"cannot run {command[0]}: {error.strerror}") from error
        passing.process = process
        code = await process.wait()
    return code if code >= 0 else 128 - code


class _Passing:
    """Passes this process's signals on to the command; before there is one, they end the start."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._pass, number)

    def _pass(self, number: signal.Signals) -> None:
        if self.process is None:
            if self._task is not None:
                self._task.cancel()
            return
        from_terminal = number == signal.SIGINT and sys.stdin.isatty() and os.tcgetpgrp(0) == os.getpgrp()
        if not from_terminal:  # the terminal has told the command already
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


@contextmanager
def _settings(parsed: argparse.Namespace) -> Iterator[Settings]:
    if not parsed.registry.is_dir():
        raise CommandError(f"there is no registry folder {parsed.registry}; name one with --registry DIR")
    temporary = parsed.state is None
    root = Path(tempfile.mkdtemp(prefix="azureml-local-")) if temporary else parsed.state.absolute()
    try:
        yield Settings(
            root=root,
            registry=parsed.registry.absolute(),
            pace=parsed.pace,
            as_of=parsed.as_of,
            temporary=temporary,
            allow_internet=parsed.allow_internet,
            quota=quota(parsed.quota),
            build_environments=parsed.build_environments,
            faults=None if parsed.faults is None else parse_plan(read_document(parsed.faults)),
        )
    finally:
        if temporary:
            shutil.rmtree(root, ignore_errors=True)


def _running(root: Path) -> dict[str, Any]:
    """The facts of the instance that runs on a state folder."""
    found = facts(root)
    if found is None or not is_running(found):
        raise CommandError(f"no instance is running on {root}; start one: azureml-local up --state {root}")
    return found


def _require_state(root: Path) -> None:
    if not (root / "state.db").exists():
        raise CommandError(f"{root} is no state folder of azureml-local")


def _wait(stopped: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while not stopped():
        if time.monotonic() > deadline:
            raise CommandError(f"{what} did not stop within {_STOP_SECONDS:.0f} s")
        time.sleep(0.05)


def _exports(environment: dict[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items()))


def _log_to(root: Path, stream: Any = None) -> None:
    (root / "logs").mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(root / "logs" / "service.log")]
    if stream is not None:
        handlers.append(logging.StreamHandler(stream))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", handlers=handlers)
    logging.getLogger("azureml_local").setLevel(logging.INFO)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="azureml-local", description="Azure Machine Learning on this machine."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for act, text in (
        (up, "start an instance in the foreground and print its environment"),
        (run, "run a command with a private instance around it"),
    ):
        command = commands.add_parser(act.__name__, help=text, description=text)
        command.set_defaults(act=act)
        _add_options(command)
        if act is run:
            command.add_argument(
                "command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run"
            )
    for act, text in (
        (env, "print the environment of the instance running on a state folder"),
        (status, "tell what an instance is doing: jobs, endpoints, processes"),
        (reset, "empty a state folder"),
    ):
        command = commands.add_parser(act.__name__, help=text, description=text)
        command.set_defaults(act=act)
        command.add_argument("--state", type=Path, required=True, metavar="DIR", help="the state folder")
        if act is reset:
            command.add_argument("--force", action="store_true", help="stop a running instance first")
    _add_faults(commands.add_parser("faults", help=faults.__doc__, description=faults.__doc__))
    return parser


def _add_faults(command: argparse.ArgumentParser) -> None:
    command.set_defaults(act=faults)
    does = command.add_subparsers(required=True, dest="do", metavar="set|show|clear")
    for name, text in (
        ("set", "put a fault plan into force"),
        ("show", "show the rules, the calls counted and what fired"),
        ("clear", "take the plan back"),
    ):
        does_it = does.add_parser(name, help=text, description=text)
        does_it.add_argument("--state", type=Path, required=True, metavar="DIR", help="the state folder")
        if name == "set":
            does_it.add_argument("file", type=Path, metavar="FILE", help="the plan, YAML or JSON")


def _pace(text: str) -> Pace:
    try:
        return Pace(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--state", type=Path, metavar="DIR", help="keep state there (default: temporary)")
    command.add_argument(
        "--as-of",
        type=dt.date.fromisoformat,
        default=dt.datetime.now(dt.UTC).date(),
        metavar="DATE",
        help="serve the Azure of that day, YYYY-MM-DD (default: today)",
    )
    command.add_argument(
        "--pace",
        type=_pace,
        default=Pace(),
        metavar="fast|azure|SECONDS|PHASE=SECONDS,…",
        help="how long operations take: no time, as documented, or so many seconds (default: fast)",
    )
    command.add_argument(
        "--quota", type=int, metavar="VCPUS", help="vCPUs of every VM family (default: as in sizes.toml)"
    )
    command.add_argument("--allow-internet", action="store_true", help="let the proxy through to other names")
    command.add_argument(
        "--build-environments",
        action="store_true",
        help="run a command job in a venv of its conda file's pip section (default: in this Python)",
    )
    command.add_argument("--faults", type=Path, metavar="FILE", help="misbehave by this plan (YAML or JSON)")
    command.add_argument(
        "--registry", type=Path, default=_REGISTRY, metavar="DIR", help="the registry's asset folder"
    )
