"""Small datasets on disk for the dataset tests: three splits that are fine, to be spoilt one by one."""

import json
from pathlib import Path
from typing import Any

from chat_finetune.config.retrain import DataConfig

Row = dict[str, Any]


def chat(*texts: str, roles: tuple[str, ...] = ("user", "assistant")) -> Row:
    """A row without prompt and prompt_id, which are optional; `roles` repeat over the texts."""
    return {"messages": [{"role": roles[i % len(roles)], "content": text} for i, text in enumerate(texts)]}


def sound_splits() -> dict[str, list[Any]]:
    return {
        "train_sft": [chat("Is it wet?", "Yes."), chat("Is it dry?", "No."), chat("Is it warm?", "A bit.")],
        "test_sft": [chat("Is it cold?", "No.")],
        "test_gen": [chat("Is it late?", "Not yet.")],
    }


def write_jsonl(folder: Path, splits: dict[str, list[Any]]) -> Path:
    """Writes `<split>.jsonl`; a row that is a string is written as it is, so that it may be malformed."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (folder / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def config(source: Path | str, **changes: Any) -> DataConfig:
    return DataConfig.model_validate({"source": str(source), "percent": 100} | changes)


def read_jsonl(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
