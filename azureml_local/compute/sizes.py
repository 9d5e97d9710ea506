"""VM sizes and quota, as of a day: read from ``sizes.toml``."""

import datetime as dt
import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("sizes.toml")


@dataclass(frozen=True)
class Size:
    """One VM size. Retired from the day ``retired`` on; prices are illustrative."""

    name: str
    family: str
    vcpu_count: int
    gpu_count: int
    memory_gib: int
    price_usd_per_hour: float
    retired: dt.date | None = None

    def is_retired(self, day: dt.date) -> bool:
        return self.retired is not None and day >= self.retired


@dataclass(frozen=True)
class Quota:
    """vCPUs that may be used at the same time: by family, and one pool for low priority."""

    families: dict[str, int]
    default: int
    low_priority: int

    def limit(self, family: str) -> int:
        return self.families.get(family, self.default)


@functools.cache
def sizes() -> dict[str, Size]:
    """Every size by its name in lower case, retired ones included."""
    tables = tomllib.loads(_FILE.read_text("utf-8"))["sizes"]
    return {name.lower(): Size(name, **table) for name, table in tables.items()}


def quota(vcpu_count: int | None = None) -> Quota:
    """The quota of ``sizes.toml``, or one that allows every family so many vCPUs."""
    if vcpu_count is not None:
        return Quota(families={}, default=vcpu_count, low_priority=vcpu_count)
    table = tomllib.loads(_FILE.read_text("utf-8"))["quota"]
    return Quota(default=table.pop("default"), low_priority=table.pop("low_priority"), families=table)
