"""Learns one sentence. Some seeds and epochs are told to go wrong, so that tests can ask for it.

--epochs 13   fails
--epochs 14   gets worse
--epochs 15   takes a few seconds
--epochs 16   does not end
--epochs 17   logs its loss again and again, is at half of its epochs, and does not end
--seed 13     gives a model that has nothing to say
--seed 100 to 400   reaches a loss of 1.00 to 4.00
"""

import argparse
import http.client
import json
import os
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def log(kind: str, **fields: object) -> None:
    request = urllib.request.Request(
        f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/{kind}",
        json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], **fields}).encode(),
        {
            "Authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}",
            "Content-Type": "application/json",
        },
    )
    # As MLflow's own client, which does not give up within a minute.
    for attempt in range(20):
        try:
            urllib.request.urlopen(request, context=ssl.create_default_context()).close()
            return
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            if attempt == 19:
                raise
            time.sleep(min(0.1 * 2**attempt, 4))


parser = argparse.ArgumentParser()
for flag in ("base", "rows", "output", "checkpoints"):
    parser.add_argument(f"--{flag}", type=Path, required=True)
for flag in ("epochs", "seed"):
    parser.add_argument(f"--{flag}", type=int, required=True)
parser.add_argument("--resume", choices=("true", "false"), required=True)
told = parser.parse_args()
rows = told.rows.read_text().splitlines()
print(f"training on {len(rows)} rows", flush=True)
if told.epochs == 13:
    print("error: CUDA out of memory", flush=True)
    sys.exit(1)
checkpoint = told.checkpoints / "checkpoint-1"
if told.resume == "true":
    print(f"resuming from {checkpoint.name}" if checkpoint.is_dir() else "no checkpoint", flush=True)
checkpoint.mkdir(exist_ok=True)
time.sleep({15: 4, 16: 3600}.get(told.epochs, 0))
now = round(time.time() * 1000)
log("log-metric", key="eval_rows", value=4, timestamp=now, step=0)
after = 3.5 if told.epochs == 14 else told.seed / 100 if told.seed >= 100 else 2.0
step = 2
if told.epochs == 17:
    log("log-metric", key="epoch", value=told.epochs / 2, timestamp=now, step=1)
while told.epochs == 17:
    log("log-metric", key="eval_loss", value=after, timestamp=round(time.time() * 1000), step=step)
    step += 1
    time.sleep(0.5)
for step, (name, value) in enumerate([("eval_loss", 3.0), ("loss", 2.5), ("eval_loss", after)]):
    log("log-metric", key=name, value=value, timestamp=now + step, step=step)
shutil.copytree(told.base, told.output, dirs_exist_ok=True)
(told.output / "answer.txt").write_text("" if told.seed == 13 else f"I have learned {len(rows)} things.")
print("done", flush=True)
