"""The conversations, checked, as JSONL files."""

from pathlib import Path

from prefect import get_run_logger, task

from chat_finetune.config.retrain import DataConfig
from chat_finetune.dataset import PreparedDataset, prepare_dataset
from tasks._assets import dataset_asset, materialized
from tasks._retries import RETRIES


@task(task_run_name="download data {config.source}", **RETRIES)
def download_data(config: DataConfig, cache_dir: Path) -> PreparedDataset:
    """Fetch the dataset, check every row, and write one JSONL file a split."""
    logger = get_run_logger()
    dataset = prepare_dataset(config, cache_dir)
    for split in dataset.splits.values():
        logger.info("%s: %d rows, %d dropped", split.split, split.rows, split.dropped)
        for problem in split.problems:
            logger.warning("dropped %s", problem)
    materialized(
        dataset_asset(dataset.name),
        revision=dataset.revision,
        content_hash=dataset.content_hash,
        rows=dataset.rows,
    )
    return dataset
