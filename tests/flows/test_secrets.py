"""Nothing that a run leaves behind holds a secret of the service, and the search finds a planted one."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chat_finetune.config.retrain import RetrainConfig

if TYPE_CHECKING:
    from chaos.runs import Runs
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow

_SECRET_FIELDS = ("client_secret", "signing_key", "key", "primary", "secondary", "primaryKey", "secondaryKey")
# What the service issues and does not keep: tokens, and signatures of URLs.
_ISSUED = (
    re.compile(rb"eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    re.compile(rb"[?&;]sig=[A-Za-z0-9%+/]{16,}"),
)


def kept_secrets(state: Path) -> set[bytes]:
    """Every key and password that the service ever wrote into its state."""
    with sqlite3.connect(f"file:{state / 'state.db'}?mode=ro", uri=True) as database:
        documents = [json.loads(row[0]) for row in database.execute("SELECT document FROM documents")]
    database.close()
    return {value.encode() for document in documents for value in _secrets_in(document)}


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in _SECRET_FIELDS and isinstance(inner, str) and len(inner) >= 16:
                yield inner
            yield from _secrets_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets_in(inner)


def leaks(folders: list[Path], secrets: set[bytes]) -> set[str]:
    """The files that hold one of the secrets, or anything that looks like a token or a signature."""
    found = set()
    for file in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        if any(secret in content for secret in secrets) or any(shape.search(content) for shape in _ISSUED):
            found.add(file.name)
    return found


def test_a_run_leaves_no_secret_behind(
    runs: "Runs",
    platform: "Platform",
    make_config: Callable[..., RetrainConfig],
    azure_environment: dict[str, str],
    prefect_server: Path,
    tmp_path: Path,
) -> None:
    config = make_config(endpoint={"name": "kept-for-its-key", "keep": True})
    run = runs.create(config)
    assert runs.start(run).wait(120) == 0
    try:
        key = platform.endpoints.key("kept-for-its-key").get_secret_value().encode()
        state = Path(azure_environment["SSL_CERT_FILE"]).parents[1]
        secrets = kept_secrets(state)
        assert key in secrets
        assert azure_environment["AZURE_CLIENT_SECRET"].encode() in secrets
        assert len(secrets) >= 4  # the account's key and the signing key too

        left = [prefect_server, tmp_path]
        names = {path.name for folder in left for path in folder.rglob("*") if path.is_file()}
        assert {"prefect-test.db", "flow.log", "train_sft.jsonl"} <= names
        assert any((tmp_path / "prefect" / "storage").iterdir())  # the results that are kept
        assert leaks(left, secrets) == set()

        (tmp_path / "planted.log").write_bytes(b"asked with " + key)
        (tmp_path / "planted-url.log").write_bytes(b"https://a/b?se=1&sig=" + b"Zm9vYmFyYmF6cXV4" + b"%3D")
        assert leaks(left, secrets) == {"planted.log", "planted-url.log"}
    finally:
        platform.endpoints.delete("kept-for-its-key")
