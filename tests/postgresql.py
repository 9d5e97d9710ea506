"""A real PostgreSQL: Debian's package, or the one on the PATH."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, or None where it is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda initdb: int(initdb.parts[-3]))
    return versions[-1].parent if versions else None


@dataclass(frozen=True)
class Database:
    """One that runs; `folder` holds its socket, through which its owner and root are trusted."""

    programs: Path
    folder: Path

    @property
    def url(self) -> str:
        """As Prefect takes it."""
        return f"postgresql+asyncpg://postgres@/postgres?host={self.folder}"

    def query(self, sql: str) -> list[str]:
        """The rows of the answer."""
        command = [self.programs / "psql", f"--host={self.folder}", "--username=postgres"]
        answer = subprocess.run(
            [*command, "--no-psqlrc", "--tuples-only", "--no-align", f"--command={sql}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return answer.stdout.splitlines()


@contextmanager
def open_database(programs: Path) -> Iterator[Database]:
    """A database that ends with the block. Nothing of it listens on the network, or waits for the disk."""
    # PostgreSQL refuses to be run by root, whose temporary folders nobody else may enter.
    account = "postgres" if os.geteuid() == 0 else None

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, *arguments],
            user=account, group=account, extra_groups=[] if account else None,
            cwd=folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        folder = Path(name)
        if account:
            shutil.chown(folder, account, account)
        data = f"--pgdata={folder / 'data'}"
        run("initdb", data, "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "start", data, "--wait", f"--log={folder / 'log'}", f"--options={options}")
        try:
            yield Database(programs, folder)
        finally:
            run("pg_ctl", "stop", data, "--wait", "--mode=fast")
