"""Serves the Prompt flow of this folder on 127.0.0.1, for an endpoint of the workspace: `make chat`.

It runs in the project's environment, and then becomes `pf` in the Prompt flow's own. The endpoint's key is in
that process's environment, and nowhere else.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

FOLDER = Path(__file__).resolve().parent
PROGRAM = FOLDER / ".venv" / "bin" / "pf"


def main() -> None:
    """Look the endpoint up, and serve until Ctrl-C."""
    from chat_finetune.errors import ChatFinetuneError
    from chat_finetune.platform import connect
    from chat_finetune.scoring.chat import find_endpoint

    parser = argparse.ArgumentParser(prog="make chat", description="Serve the Prompt flow on 127.0.0.1.")
    parser.add_argument("--endpoint", help="endpoint to ask (default: the one that was kept last)")
    parser.add_argument("--deployment", default="", help="deployment that answers (default: by traffic)")
    parser.add_argument("--port", type=int, default=8080, help="port to serve on (default: 8080)")
    options = parser.parse_args()
    try:
        with connect() as platform:
            endpoint = find_endpoint(platform, options.endpoint)
            key = platform.endpoints.key(endpoint.name).get_secret_value()
    except ChatFinetuneError as error:
        sys.exit(f"error: {error.message}\n  → {error.remedy}")
    print(f"Endpoint {endpoint.name}: http://127.0.0.1:{options.port}/ until Ctrl-C", flush=True)
    asked = {
        "CHAT_ENDPOINT_URI": str(endpoint.scoring_uri),
        "CHAT_ENDPOINT_KEY": key,
        "CHAT_ENDPOINT_DEPLOYMENT": options.deployment,
    }
    _become_prompt_flow({**os.environ, **alone(FOLDER / ".home"), **asked}, options.port)


def _become_prompt_flow(environment: Mapping[str, str], port: int) -> NoReturn:
    os.chdir(FOLDER)  # where pf.yaml is
    # The page of promptflow 1.18.5 fails with Flask, its other engine: a missing `import os`.
    serve = ["flow", "serve", "--source", ".", "--engine", "fastapi", "--skip-open-browser"]
    where = ["--host", "127.0.0.1", "--port", str(port)]
    os.execve(PROGRAM, [str(PROGRAM), *serve, *where], environment)  # noqa: S606 - no shell is wanted


def alone(home: Path) -> dict[str, str]:
    """The environment in which Prompt flow, with `pf.yaml`, asks and tells nobody but the endpoint."""
    home.mkdir(exist_ok=True)
    # It would ask the package index for its newest version; this is when it last did.
    (home / "pf_version_check.json").write_text(json.dumps({"last_check_time": "2100-01-01 00:00:00.0"}))
    return {
        "PF_HOME_DIRECTORY": str(home),
        # Azure Monitor's exporter, which Prompt flow loads whatever it was told, has two ways of its own.
        "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    }


if __name__ == "__main__":
    main()
