"""Requests per second and p95 of a served model, at 1, 4 and 16 clients, on this machine's CPU.

The same weights (SmolLM2-135M-Instruct) three times: as a plain MLflow model and as ours behind
`mlflow models serve`, and ours behind the scoring server of `azureml_local`, several requests let in.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.measuring import Sample, table, tell, verdict

_ROOT = Path(__file__).parents[1]
_CLIENT_COUNTS = (1, 4, 16)
_REQUESTS_PER_CLIENT = {1: 4, 4: 2, 16: 1}
_ROUND_COUNT = 3
_NEW_TOKEN_COUNT = 32
_START_SECONDS, _ANSWER_SECONDS = 60.0, 120.0
_NO_WORSE, _AT_MANY = 1.0, 2.0
_PLAIN, _PACKED, _OURS = "`mlflow models serve`", "the same, packed model", "`azureml_local`, packed model"
_QUESTIONS = (
    "What is a lighthouse?",
    "Name three uses of a hammer, and say for each who would need it.",
    "Why is the sky blue?",
    "Explain to a child what a bank does with the money that people bring to it every month.",
    "How do I boil an egg?",
    "Write a short letter to a neighbour whose dog barks at night.",
    "What does a librarian do?",
    "Which is heavier, a kilogram of feathers or a kilogram of iron, and why do people get it wrong?",
)


@dataclass
class Server:
    """Where a contender answers, and what was measured there: per round and number of clients."""

    url: str
    key: str
    """What the texts are called in a request."""
    rates: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in _CLIENT_COUNTS})
    latencies: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in _CLIENT_COUNTS})
    answers: dict[str, str] = field(default_factory=dict)

    def ask(self, client: httpx.Client, question: str) -> float:
        """Seconds until the answer; raises httpx.HTTPStatusError for anything but 200."""
        started = time.perf_counter()
        body = {self.key: [question], "params": {"max_new_tokens": _NEW_TOKEN_COUNT}}
        answer = client.post(self.url, json=body).raise_for_status().json()
        seconds = time.perf_counter() - started
        self.answers[question] = (answer["predictions"] if isinstance(answer, dict) else answer)[0]
        return seconds

    def measure(self, client_count: int) -> None:
        """Ask as so many clients, each one question after the other."""
        questions = [_QUESTIONS[number % len(_QUESTIONS)] for number in range(client_count)]
        with httpx.Client(timeout=_ANSWER_SECONDS, trust_env=False) as client:

            def ask_repeatedly(question: str) -> list[float]:
                return [self.ask(client, question) for _ in range(_REQUESTS_PER_CLIENT[client_count])]

            with ThreadPoolExecutor(client_count) as clients:
                started = time.perf_counter()
                taken = [seconds for each in clients.map(ask_repeatedly, questions) for seconds in each]
                rate = len(taken) / (time.perf_counter() - started)
        self.rates[client_count].append(rate)
        self.latencies[client_count] += taken


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        plain, packed = _models(Path(folder))
        servers = {
            _PLAIN: stack.enter_context(_mlflow_server(plain)),
            _PACKED: stack.enter_context(_mlflow_server(packed)),
            _OURS: stack.enter_context(_scoring_server(packed, Path(folder))),
        }
        with httpx.Client(timeout=_ANSWER_SECONDS, trust_env=False) as client:
            for server in servers.values():
                server.ask(client, _QUESTIONS[0])
        for number in range(_ROUND_COUNT):
            for count in _CLIENT_COUNTS:
                for name in list(servers)[:: 1 if number % 2 == 0 else -1]:
                    servers[name].measure(count)
                    tell(
                        f"round {number + 1}: {count} clients, {name}: {servers[name].rates[count][-1]:.2f}/s"
                    )
    _report(servers)


def _report(servers: Mapping[str, Server]) -> None:
    plain, ours = servers[_PLAIN], servers[_OURS]
    rows = [
        (
            name,
            count,
            Sample(tuple(server.rates[count])).shown(),
            f"{statistics.quantiles(server.latencies[count], n=20)[-1]:.2f}",
            _ratio(server, plain, count).shown(),
        )
        for count in _CLIENT_COUNTS
        for name, server in servers.items()
    ]
    print(table(("served by", "clients", "requests/s", "p95, s", "times as many"), rows))
    print()
    alike = sum(ours.answers[question] == text for question, text in plain.answers.items())
    print(f"{alike} of {len(plain.answers)} answers of `azureml_local` are those of the plain model.")
    print()
    for count, least in ((1, _NO_WORSE), (_CLIENT_COUNTS[-1], _AT_MANY)):
        measured = _ratio(ours, plain, count).median
        print(verdict(f"requests per second at {count} clients, times", measured, least, at_most=False))


def _ratio(server: Server, other: Server, client_count: int) -> Sample:
    return Sample(tuple(server.rates[client_count])).over(Sample(tuple(other.rates[client_count])))


def _models(folder: Path) -> tuple[Path, Path]:
    """The plain and the packed model, of the weights that the registry's builder makes."""
    _run([sys.executable, "smollm2.py", "--output", str(folder / "base")], _ROOT / "registry" / "builders")
    weights = folder / "base" / "data" / "model"
    plain, packed = folder / "plain", folder / "packed"
    _run([sys.executable, "-c", _LOG_PLAIN, str(weights), str(plain)], _ROOT)
    to = ["--model_path", str(weights), "--mlflow_model_folder", str(packed)]
    _run([sys.executable, "-m", "chat_training.convert", *to], _ROOT / "training")
    return plain, packed


_LOG_PLAIN = """
import sys
import mlflow.pyfunc
from mlflow.models import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec
mlflow.pyfunc.save_model(
    sys.argv[2],
    python_model="benchmarks/plain_chat_model.py",
    artifacts={"model": sys.argv[1]},
    signature=ModelSignature(params=ParamSchema([ParamSpec("max_new_tokens", DataType.long, 256)])),
    pip_requirements=["mlflow", "torch", "transformers"],
)
"""


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _mlflow_server(model: Path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-m", str(model), "-h", "127.0.0.1", "-p", str(port), "--env-manager", "local"]
    with _process([str(Path(sys.executable).with_name("mlflow")), "models", "serve", *options]) as process:
        url = f"http://127.0.0.1:{port}"
        _wait(process, lambda: _answers(f"{url}/ping"))
        yield Server(f"{url}/invocations", "inputs")


@contextmanager
def _scoring_server(model: Path, folder: Path) -> Iterator[Server]:
    ready = folder / "ready.json"
    options = ["--model", str(model), "--ready", str(ready), "--concurrency", str(_CLIENT_COUNTS[-1])]
    command = [sys.executable, "-m", "azureml_local.serving.scoring_server", *options]
    with _process(command) as process:
        _wait(process, ready.is_file)
        yield Server(f"http://127.0.0.1:{json.loads(ready.read_text())['port']}/score", "input_data")


@contextmanager
def _process(command: Sequence[str]) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    ) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # it has processes of its own, and nothing to keep


def _wait(process: "subprocess.Popen[bytes]", is_ready: Callable[[], bool]) -> None:
    latest = time.monotonic() + _START_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > latest:
            raise RuntimeError(f"{process.args!r} did not start")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
