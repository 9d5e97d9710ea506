"""What the service remembers: Azure's REST resources as plain JSON documents in SQLite, files beside them."""

import json
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (kind, key)
)
"""
# What documents are asked for by, so that a thousand jobs are not read to find one's steps.
_INDEXED = ("root", "parentRunId")
_HAVING = (
    "SELECT key, document FROM documents"
    " WHERE kind = ? AND json_extract(document, '$.{0}') = ? ORDER BY sequence"
)
_INDEX = "CREATE INDEX IF NOT EXISTS by_{0} ON documents (kind, json_extract(document, '$.{0}'))"


class State:
    """One instance's documents and folders.

    A document is known by its kind (``"computes"``, ``"jobs"``, …) and a key that is unique within the kind.
    Reads return fresh copies: changing one changes nothing until it is written back. Safe to use from any
    thread of the one service process; SQLite in WAL mode keeps every finished write through a kill -9.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("blobs", "jobs", "deployments", "mlflow", "logs"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._database = sqlite3.connect(root / "state.db", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_SCHEMA)
        for field in _INDEXED:
            self._database.execute(_INDEX.format(field))

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """The document, or None."""
        with self._lock:
            row = self._database.execute(
                "SELECT document FROM documents WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
        return None if row is None else _loads(row[0])

    def insert(self, kind: str, key: str, document: dict[str, Any]) -> bool:
        """Write a new document; False, and nothing written, when the key exists."""
        with self._lock:
            cursor = self._database.execute(
                "INSERT INTO documents (kind, key, document) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (kind, key, json.dumps(document)),
            )
            return cursor.rowcount == 1

    def put(self, kind: str, key: str, document: dict[str, Any]) -> None:
        """Write a document, new or not; a replaced one keeps its place in the order."""
        with self._lock:
            self._database.execute(
                "INSERT INTO documents (kind, key, document) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET document = excluded.document",
                (kind, key, json.dumps(document)),
            )

    def update(self, kind: str, key: str, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Read, let ``change`` alter the document in place, write, in one transaction; the new document.

        Raises KeyError when there is none.
        """
        with self._transaction():
            document = self.get(kind, key)
            if document is None:
                raise KeyError(f"{kind}/{key}")
            change(document)
            self.put(kind, key, document)
            return document

    def delete(self, kind: str, key: str) -> bool:
        """Remove the document; False when there was none."""
        with self._lock:
            cursor = self._database.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key))
            return cursor.rowcount == 1

    def all(self, kind: str, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
        """Every (key, document) of the kind whose key starts with ``prefix``, in insertion order."""
        with self._lock:
            rows = self._database.execute(
                "SELECT key, document FROM documents WHERE kind = ? AND substr(key, 1, ?) = ?"
                " ORDER BY sequence",
                (kind, len(prefix), prefix),
            ).fetchall()
        return [(key, _loads(document)) for key, document in rows]

    def having(self, kind: str, field: str, value: str) -> list[tuple[str, dict[str, Any]]]:
        """Every (key, document) of the kind whose indexed ``field`` is ``value``, in insertion order."""
        with self._lock:
            rows = self._database.execute(
                _HAVING.format(_INDEXED[_INDEXED.index(field)]), (kind, value)
            ).fetchall()
        return [(key, _loads(document)) for key, document in rows]

    def newest_roots(self, before: int | None = None) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """The (sequence, key, document) of every run that has no parent, the newest first.

        ``before`` is the sequence of the last one that was seen. Read as they are asked for.
        """
        last = before if before is not None else sys.maxsize
        while True:
            with self._lock:
                rows = self._database.execute(
                    "SELECT sequence, key, document FROM documents"
                    " WHERE kind = 'runs' AND json_extract(document, '$.parentRunId') IS NULL"
                    " AND sequence < ? ORDER BY sequence DESC LIMIT 100",
                    (last,),
                ).fetchall()
            for sequence, key, document in rows:
                yield sequence, key, _loads(document)
            if not rows:
                return
            last = rows[-1][0]

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _loads(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document
