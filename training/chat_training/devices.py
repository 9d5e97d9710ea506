"""What the machine can do: a GPU or not, half precision, how many CPU threads really help."""

import os
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

Half: TypeAlias = Literal["bf16", "fp16"] | None
"""The type of mixed precision, None for float32 throughout."""

_CLEARLY = 1.25
"""How many times as fast bfloat16 must be to be worth its rounding."""

_MEASURED_SECONDS = 0.05


@dataclass(frozen=True)
class Device:
    """Where and how the numbers are computed."""

    name: Literal["cuda", "cpu"]
    half: Half

    @property
    def is_cpu(self) -> bool:
        """Whether there is no GPU to use."""
        return self.name == "cpu"


def choose_device(precision: Literal["32", "16"]) -> Device:
    """The GPU when there is one, else the CPU; in half precision when asked for, on a CPU if it is faster.

    What bfloat16 does to a CPU differs a hundredfold, so it is measured (with torch 2.13: on AVX2 0.9 GFLOPS
    instead of float32's 87, on an EPYC with AVX512_BF16 400 instead of 100).
    """
    if not torch.cuda.is_available():
        return Device("cpu", _cpu_half() if precision == "16" else None)
    if precision == "32":
        return Device("cuda", None)
    return Device("cuda", "bf16" if torch.cuda.is_bf16_supported() else "fp16")


def use_fastest_thread_count(half: Half) -> None:
    """Set torch to the CPU thread count that is fastest now.

    On a busy machine more threads are slower than one, several times over: each step waits for the slowest.
    """
    torch.set_num_threads(min(_thread_counts(), key=lambda count: step_seconds(count, half)))


def step_seconds(thread_count: int, half: Half) -> float:
    """How long a feed-forward layer takes there and back: most of a training step is its like."""
    torch.set_num_threads(thread_count)
    tokens = torch.ones(192, 576, requires_grad=True)
    up, down = torch.ones(1536, 576, requires_grad=True), torch.ones(576, 1536, requires_grad=True)

    def seconds() -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=half is not None):
            hidden = torch.nn.functional.silu(torch.nn.functional.linear(tokens, up))
            out = torch.nn.functional.linear(hidden, down)
        torch.autograd.backward(out.float().sum())
        return time.perf_counter() - began

    # The first one warms up, unless it tells already how slow this is.
    taken = [] if (first := seconds()) < _MEASURED_SECONDS else [first]
    while sum(taken) < _MEASURED_SECONDS:
        taken.append(seconds())
    return sum(taken) / len(taken)


def _cpu_half() -> Half:
    in_float32, in_half = (
        min(step_seconds(count, half) for count in _thread_counts()) for half in (None, "bf16")
    )
    return "bf16" if in_half * _CLEARLY < in_float32 else None


def _thread_counts() -> list[int]:
    """One, half of the CPUs that this process may use, all of them."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return sorted({1, most // 2 or 1, most})
