"""Jobs: submitted, run as processes, recorded as runs, tracked by MLflow."""
