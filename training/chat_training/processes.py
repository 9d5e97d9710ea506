"""The processes of one training: one alone, or as many as PyTorch's environment variables say."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Proposal = TypeVar("Proposal")


@dataclass(frozen=True)
class Processes:
    """This process among the others, as `torchrun` and Azure ML's `distribution` tell it."""

    count: int
    rank: int
    local_rank: int

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Processes":
        """A process that is told nothing is alone."""
        count, rank = int(environment.get("WORLD_SIZE", "1")), int(environment.get("RANK", "0"))
        return cls(count, rank, int(environment.get("LOCAL_RANK", rank)))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def is_first_of_node(self) -> bool:
        return self.local_rank == 0

    @contextmanager
    def shared_folder(self) -> Iterator[Path]:
        """A folder that the processes of a node share, and that goes when the last has left it."""
        folder = Path(self.agree(tempfile.mkdtemp() if self.is_first else ""))
        folder.mkdir(parents=True, exist_ok=True)  # another node has only its name
        try:
            yield folder
        finally:
            if self.is_first_of_node:
                shutil.rmtree(folder, ignore_errors=True)

    def agree(self, proposal: Proposal) -> Proposal:
        """What the first process proposes."""
        proposals = [proposal]
        if self.count > 1:
            from accelerate.utils import broadcast_object_list

            self.wait_for_all()
            proposals = broadcast_object_list(proposals)
        return proposals[0]

    def wait_for_all(self) -> None:
        """Wait until every process is here; the first time, they find each other."""
        if self.count > 1:
            import torch
            from accelerate import PartialState

            PartialState(cpu=not torch.cuda.is_available()).wait_for_everyone()
