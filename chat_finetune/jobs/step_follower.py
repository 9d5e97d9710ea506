"""What the steps of a job do, and print, each thing told once."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from chat_finetune.refs import StepRef

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

TAIL_LINE_COUNT = 20

Tell = Callable[[str], None]


class StepFollower:
    """Tells what the steps of a job do, each thing once.

    Args:
        closely: tell what a step prints, too, as it comes.
    """

    def __init__(self, platform: "Platform", job_name: str, tell: Tell, closely: bool) -> None:
        self._platform = platform
        self._job_name = job_name
        self._tell = tell
        self._closely = closely
        self._offsets_bytes: dict[str, int] = {}
        self.steps: tuple[StepRef, ...] = ()

    def look(self) -> None:
        """Fetch the steps, and tell what is new since the last look."""
        before = {step.name: step.status for step in self.steps}
        self.steps = self._platform.runs.steps(self._job_name)
        for step in self.steps:
            changed = before.get(step.name) != step.status
            if self._closely and (step.status == "Running" or changed):
                self._tell_log(step)
            if changed:
                self._tell(f"{step.display_name} is {step.status}")

    def _tell_log(self, step: StepRef) -> None:
        offset = self._offsets_bytes.get(step.name, 0)
        new = self._platform.runs.log(step.name, offset)
        whole = new[: new.rfind(b"\n") + 1]
        self._offsets_bytes[step.name] = offset + len(whole)
        for line in whole.decode(errors="replace").splitlines()[-TAIL_LINE_COUNT:]:
            self._tell(f"{step.display_name}: {line}")
