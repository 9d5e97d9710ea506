"""A small Hugging Face hub on loopback: dataset repositories that are folders, and a log of what was asked.

It answers what `huggingface_hub` and `datasets` ask of a dataset repository, nothing else
(https://huggingface.co/docs/hub/api). A client follows `HF_ENDPOINT`, which `huggingface_hub` reads once,
at import: set it in the environment of a process of its own.
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = re.compile(r"/(?:api/)?datasets/(?P<id>[^/]+/[^/]+)(?:/(?P<rest>.*))?$")


class Hub(ThreadingHTTPServer):
    """Serves `root/<org>/<name>/` as the dataset `<org>/<name>`; its one branch is `main`."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.requests: list[str] = []
        self.failures: list[tuple[int, str]] = []  # status and error code of the next answers of the API

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def fetched_files(self) -> list[str]:
        """Paths of the data files whose content was sent, in order."""
        return [line.split("/resolve/")[1].split("/", 1)[1] for line in self.requests if _is_data_fetch(line)]

    def commit(self, repository: str) -> str:
        """The commit of `main`: 40 hex digits that change when any file of the repository does."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path in self.files(repository):
            digest.update(path.encode() + (self.root / repository / path).read_bytes())
        return digest.hexdigest()

    def files(self, repository: str) -> list[str]:
        folder = self.root / repository
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@contextmanager
def serve_hub(root: Path) -> Iterator[Hub]:
    hub = Hub(root)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


def _is_data_fetch(line: str) -> bool:
    return line.startswith("GET ") and "/resolve/" in line and not line.endswith((".md", ".yaml"))


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """The log is `Hub.requests`."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(f"{self.command} {unquote(url.path)}")
        if self.server.failures and url.path.startswith("/api/datasets/"):
            status, code = self.server.failures.pop(0)
            return self.send_json(status, {"error": "Scripted failure"}, {"X-Error-Code": code})
        match = REPOSITORY.match(unquote(url.path))
        if match is None or not (self.server.root / match["id"]).is_dir():
            return self.send_json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        repository = match["id"]
        verb, _, rest = (match["rest"] or "revision/main").partition("/")
        revision, _, path = rest.partition("/")
        if revision not in ("main", self.server.commit(repository)):
            return self.send_json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        match verb:
            case "revision":
                return self.send_json(200, self.info(repository))
            case "tree":
                recursive = parse_qs(url.query).get("recursive", ["false"])[0].lower() in ("1", "true")
                return self.send_json(200, self.tree(repository, path, recursive))
            case "paths-info":
                paths = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode())["paths"]
                return self.send_json(200, [entry for p in paths for entry in self.entries(repository, p)])
            case "resolve":
                return self.send_file(repository, path)
        return self.send_json(501, {"error": f"The hub of the tests does not know {verb!r}"})

    def info(self, repository: str) -> dict[str, object]:
        siblings = [{"rfilename": path} for path in self.server.files(repository)]
        sha = self.server.commit(repository)
        return {"id": repository, "sha": sha, "siblings": siblings, "private": False, "tags": []}

    def tree(self, repository: str, under: str, recursive: bool) -> list[dict[str, object]]:
        prefix = f"{under}/" if under else ""
        files = [path for path in self.server.files(repository) if path.startswith(prefix)]
        folders = {
            parent.as_posix() for path in files for parent in Path(path).parents if parent.as_posix() != "."
        }
        inside = [path for path in [*sorted(folders), *files] if path.startswith(prefix) and path != under]
        shown = inside if recursive else [path for path in inside if "/" not in path[len(prefix) :]]
        return [entry for path in shown for entry in self.entries(repository, path)]

    def entries(self, repository: str, path: str) -> list[dict[str, object]]:
        target = self.server.root / repository / path
        if target.is_dir():
            return [{"type": "directory", "oid": "0" * 40, "size": 0, "path": path}]
        if target.is_file():
            size = target.stat().st_size
            return [{"type": "file", "oid": _oid(target.read_bytes()), "size": size, "path": path}]
        return []

    def send_file(self, repository: str, path: str) -> None:
        target = self.server.root / repository / path
        if not target.is_file():
            return self.send_json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        content = target.read_bytes()
        headers = {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": self.server.commit(repository)}
        return self.send(200, content, headers | {"Content-Type": "application/octet-stream"})

    def send_json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send(status, content, {"Content-Type": "application/json"} | (headers or {}))

    def send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
