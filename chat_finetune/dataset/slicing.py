"""Which splits and rows are wanted; `data.slice` names them as `datasets` does, `train_sft[:1%]`."""

import re

from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset.report import SPLITS

_SLICE = re.compile(r"(?P<split>\w+)(\[:(?P<count>[\d.]+)(?P<percent>%?)\])?")


def needed_splits(config: DataConfig) -> tuple[str, ...]:
    """The splits that the source must have."""
    return (_parts(config)["split"],) if config.slice else SPLITS


def how_many(config: DataConfig) -> DataConfig:
    """The config with the slice's number or percentage of rows as its own."""
    if not config.slice:
        return config
    parts = _parts(config)
    if parts["count"] is None:
        return config.model_copy(update={"percent": 100.0, "rows": None})
    if parts["percent"]:
        return config.model_copy(update={"percent": float(parts["count"]), "rows": None})
    return config.model_copy(update={"rows": int(parts["count"])})


def _parts(config: DataConfig) -> re.Match[str]:
    parts = _SLICE.fullmatch(config.slice or "")
    assert parts is not None, "the config's pattern is stricter"
    return parts
