"""The page that a person reads after a run."""

import datetime
from pathlib import Path

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.dataset import PreparedDataset
from chat_finetune.dataset.report import SplitReport
from chat_finetune.refs import (
    ComputeRef,
    CostRef,
    EndpointRef,
    EvaluationRef,
    FinishedJobRef,
    FoundationModelRef,
    MetricPoint,
    ModelRef,
    ParameterChange,
    RetrainResult,
    RunRef,
    Sample,
    SmokeTestRef,
    StepRef,
)
from chat_finetune.report.run_report import differing, run_report

HOSTILE = "| a | <script>alert(1)</script>\n# [click](javascript:x) `code` **bold**"


def split(name: str) -> SplitReport:
    return SplitReport(name, 1200, 2, 5000, Path(name), "aa", (), {"no assistant": 2})


@pytest.fixture
def result() -> RetrainResult:
    curve = (MetricPoint(step=0, value=2.5), MetricPoint(step=10, value=2.0))
    return RetrainResult(
        run=RunRef(
            flow_run_id="run", created=datetime.datetime(2026, 11, 24, tzinfo=datetime.UTC), config_hash="c"
        ),
        foundation_model=FoundationModelRef(id="azureml://base/7", name="base", version="7"),
        dataset=PreparedDataset("ultrachat", "rev1", {"train_sft": split("train_sft")}, "cafe", cached=False),
        compute=ComputeRef(
            cluster="gpu",
            vm_size="Standard_NC6s_v3",
            gpu_count=1,
            node_count=2,
            created=True,
            tier="dedicated",
            price_per_hour=3.0,
            serving_price_per_hour=None,
            allow_list_source="tags",
        ),
        job=FinishedJobRef(
            name="azft-1",
            status="Completed",
            studio_url="https://ml.azure.com/runs/azft-1",
            seconds=60,
            steps=(StepRef(name="s", display_name="finetune", status="Completed", seconds=60),),
        ),
        parameter_changes=(
            ParameterChange(name="precision", configured="16", used="32", reason="the model says so"),
        ),
        evaluation=EvaluationRef(base_loss=2.5, tuned_loss=2.0, rows=20, train_curve=curve, eval_curve=curve),
        model=ModelRef(name="base-ultrachat", version="2", id="id"),
        endpoint=EndpointRef(name="chat", scoring_uri="https://chat/score", existed=False),
        smoke_test=SmokeTestRef(
            deployment="azft-2",
            dialect="chat",
            samples=(Sample(question="Why?", answer=HOSTILE, truth="x" * 5000, latency_seconds=0.5),),
            latency_p50_seconds=0.5,
            latency_p95_seconds=0.6,
        ),
        estimated_cost=CostRef(
            training_usd=1.5, serving_usd=None, training_node_hours=0.5, serving_instance_hours=0.25
        ),
        deleted=("deployment old",),
    )


def test_the_page_says_what_happened_from_verdict_to_lineage(result: RetrainResult) -> None:
    page = run_report(RetrainConfig(), result, None, [("poll azft-1", 61.0), ("poll azft-1", 2.0)]).replace(
        "\\", ""
    )
    assert page.startswith("**base-ultrachat:2 is registered. Better than the base model: ")
    for expected in (
        "| Data | 1,200 train_sft |",
        "| Dropped | 2 × no assistant |",
        "blake3 cafe",
        "0.500 h training = 1.50 USD, 0.250 h serving, price unknown",
        "| base model | 2.5000 | 20 |",
        "| base-ultrachat:2 | 2.0000 | 20 |",
        "![loss over the steps](data:image/png;base64,",
        "Latency: p50 0.5 s, p95 0.6 s",
        "| precision | 16 | 32 | the model says so |",
        "| poll azft-1 | 61.0 |\n| poll azft-1 | 2.0 |",
        "| in the job: finetune | 60.0 |",
        "3. job azft-1 ([in Azure ML Studio](https://ml.azure.com/runs/azft-1))",
        "5. endpoint chat, deployment azft-2",
    ):
        assert expected in page


def test_the_model_registered_before_stands_beside(result: RetrainResult) -> None:
    before = ModelRef(name="base-ultrachat", version="1", id="id")
    same = run_report(RetrainConfig(), result, (before, {"eval_loss": "2.1", "data_hash": "cafe"}), [])
    assert "| base\\-ultrachat\\:1\\, registered before | 2\\.1 | the same |" in same
    other = run_report(RetrainConfig(), result, (before, {"eval_loss": "2.1", "data_hash": "beef"}), [])
    assert "| 2\\.1 | others\\: not comparable to the digit |" in other


def test_what_a_model_answers_stays_text_and_is_cut(result: RetrainResult) -> None:
    page = run_report(RetrainConfig(), result, None, [])
    [row] = [line for line in page.splitlines() if line.startswith("| Why")]
    assert (
        r"\| a \| \<script\>alert\(1\)\<\/script\> \# \[click\]\(javascript\:x\) \`code\` \*\*bold\*\*" in row
    )
    assert len(row) < 1000


def test_only_knobs_that_are_not_at_their_default_are_told(result: RetrainResult) -> None:
    config = RetrainConfig.model_validate(
        {"data": {"percent": 20}, "trainer": {"kind": "command_job", "seed": 7}}
    )
    assert {name: (value, default) for name, value, default in differing(config)} == {
        "data.percent": (20, RetrainConfig().data.percent),
        "trainer.seed": (7, 0),
    }
    assert "Nothing." in run_report(RetrainConfig(), result, None, [])
