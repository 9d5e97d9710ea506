"""The published walkthrough's own script, as its readers run it.

The scripts lie beside a checkout of this project where they may be read; they are not part of it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
REFERENCE = PROJECT.parent / "shared" / "reference" / "registry_pipeline" / "registry_pipeline.py"

# What the walkthrough calls: the same flags, the project's own conversations.
DOWNLOAD_DATASET = """
import argparse
from pathlib import Path

import polars

parser = argparse.ArgumentParser()
for flag in ("--dataset", "--download_dir", "--dataset_split_pc"):
    parser.add_argument(flag)
folder = Path(parser.parse_args().download_dir)
folder.mkdir()
for split in ("train_sft", "test_sft", "train_gen", "test_gen"):
    [file] = (Path({sample!r}) / "data").glob(f"{{split}}-*.parquet")
    polars.read_parquet(file).write_ndjson(folder / f"{{split}}.jsonl")
"""


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE.is_file(), reason="the walkthrough's scripts are not beside this checkout")
def test_the_registry_walkthrough_runs_unmodified_to_its_end(tmp_path: Path) -> None:
    script = tmp_path / REFERENCE.name
    shutil.copyfile(REFERENCE, script)
    sample = PROJECT / "data" / "ultrachat_sample"
    (tmp_path / "download-dataset.py").write_text(DOWNLOAD_DATASET.format(sample=str(sample)))
    service = [sys.executable, "-m", "azureml_local", "run", "--as-of", "2024-06-01", "--"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    finished = subprocess.run(
        [*service, sys.executable, script.name],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    assert "Number of GPU's in compute Standard_ND40rs_v2: 8" in finished.stdout
    [answer] = [line for line in finished.stdout.splitlines() if '"output"' in line.replace("\\", "")]
    assert answer.strip()
