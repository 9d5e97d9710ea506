"""`chat-finetune`: one command a use."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from chat_finetune.errors import ChatFinetuneError, ConfigError

_TALKING = {
    "ask": "ask what is deployed, and print the answers side by side",
    "base": "deploy the base model beside the tuned one for some hours, or delete it",
    "chat": "talk to a deployed model, in the terminal or on a page",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it did what was asked, 1 when a run failed, 2 when the call was wrong."""
    parser = _parser()
    known, rest = parser.parse_known_args(arguments)
    if rest and known.command not in ("demo", "retrain", "sweep", "reap", *_TALKING):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    # Read by Prefect, MLflow and the Hugging Face libraries, here and in what we start.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        return _run(known, rest)
    except ChatFinetuneError as error:
        print(f"error: {error.message}\n  → {error.remedy}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(known: argparse.Namespace, rest: Sequence[str]) -> int:
    match known.command:
        case "config":
            from chat_finetune.config.retrain import RetrainConfig
            from commands.arguments import example

            schema = json.dumps(RetrainConfig.model_json_schema(), indent=2)
            print(schema if known.what == "schema" else example())
        case "retrain":
            from commands.arguments import parse_retrain_config, print_retrain_help

            if known.help:
                print_retrain_help(rest)
            config = parse_retrain_config(rest, known.config)
            from commands.retrain import run_retrain

            run_retrain(config, as_json=known.json)
        case "sweep":
            from commands.arguments import parse_sweep_config

            plan = parse_sweep_config(["--help"] if known.help else rest, known.config)
            from commands.sweep import run_sweep

            run_sweep(plan, as_json=known.json)
        case "reap":
            from chat_finetune.config.reap import ReapConfig
            from commands.arguments import parse_flags

            wanted = parse_flags(ReapConfig, ["--help"] if known.help else rest)
            from commands.reap import run_reap

            run_reap(wanted, as_json=known.json)
        case "ask" | "base" | "chat":
            return _talk(known, ["--help"] if known.help else rest)
        case "demo":
            from commands.demo import run_demo

            return run_demo(rest, as_json=known.json, keep_ui=known.keep_ui)
        case "server" | "deploy" | "doctor":
            return _operate(known)
    return 0


def _talk(known: argparse.Namespace, flags: Sequence[str]) -> int:
    """The commands that talk to what is deployed."""
    from chat_finetune.config.chat import AskConfig, BaseConfig, ChatConfig
    from commands.arguments import parse_flags

    match known.command:
        case "ask":
            asked = parse_flags(AskConfig, flags)
            from commands.ask import run_ask

            return run_ask(asked, as_json=known.json)
        case "base":
            wanted = parse_flags(BaseConfig, flags)
            from commands.base import run_base

            run_base(wanted)
        case "chat":
            talk = parse_flags(ChatConfig, flags)
            from commands.chat import run_chat

            run_chat(talk)
    return 0


def _operate(known: argparse.Namespace) -> int:
    """The commands that deployments are looked after with."""
    from commands.arguments import parse_retrain_config, read_config_file

    config = parse_retrain_config([], known.config)
    given = read_config_file(known.config) if known.config else None
    match known.command:
        case "server":
            from commands.server_stack import run_server

            return run_server(given, known.state)
        case "deploy":
            from commands.deploy import deploy_all

            print(*deploy_all(given), sep="\n")
        case "doctor":
            from commands.doctor import run_doctor

            return run_doctor(config, given)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chat-finetune", description="Fine-tune chat models on Azure Machine Learning with Prefect."
    )
    parser.add_argument("--version", action="version", version=version("chat-finetune"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="run the whole flow on this machine, without an Azure account",
        epilog="Every flag of retrain may follow; --trainer.kind command_job shows the second walkthrough.",
        allow_abbrev=False,
    )
    demo.add_argument("--keep-ui", action="store_true", help="leave the Prefect UI up until Ctrl-C")
    demo.add_argument("--json", action="store_true", help="print only the result's record on stdout")

    retrain = commands.add_parser(
        "retrain",
        help="fine-tune a model; --help lists every knob, of a command job with --trainer.kind command_job",
        add_help=False,
        allow_abbrev=False,
    )
    retrain.add_argument("-h", "--help", action="store_true")
    retrain.add_argument("--config", type=Path, metavar="FILE", help="YAML or JSON file with a config")
    retrain.add_argument("--json", action="store_true", help="print only the result's record on stdout")

    sweep = commands.add_parser(
        "sweep", help="try models, VM sizes and parameters; keep the best", add_help=False, allow_abbrev=False
    )
    sweep.add_argument("-h", "--help", action="store_true")
    sweep.add_argument("--config", type=Path, metavar="FILE", help="YAML or JSON file with a sweep's config")
    sweep.add_argument("--json", action="store_true", help="print only the result's record on stdout")

    for name, text in (
        ("server", "start Prefect's server and a worker here, with everything deployed"),
        ("deploy", "bring the configured Prefect server to what prefect.yaml declares"),
        ("doctor", "say what a run needs and lacks: access, quota, server, worker, deployments"),
    ):
        operate = commands.add_parser(name, help=text, description=text)
        operate.add_argument(
            "--config", type=Path, metavar="FILE", help="config laid over the retrain deployments' parameters"
        )
        if name == "server":
            operate.add_argument(
                "--state",
                type=Path,
                metavar="DIR",
                help="the server's database and the logs (default: .server)",
            )

    reap = commands.add_parser(
        "reap", help="show or remove what nobody owns any more", add_help=False, allow_abbrev=False
    )
    reap.add_argument("-h", "--help", action="store_true")
    reap.add_argument("--json", action="store_true", help="print only the result's record on stdout")

    for name, text in _TALKING.items():
        talk = commands.add_parser(name, help=text, add_help=False, allow_abbrev=False)
        talk.add_argument("-h", "--help", action="store_true")
        if name == "ask":
            talk.add_argument("--json", action="store_true", help="print only a record on stdout")

    config = commands.add_parser("config", help="print what can be configured")
    config.add_argument(
        "what", choices=["schema", "example"], help="JSON schema, or a YAML file to start from"
    )
    return parser
