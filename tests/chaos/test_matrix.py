"""The matrix in short: a dozen cells, each a whole run. `make chaos` runs all of them."""

import fnmatch
import os
import warnings
from collections.abc import Iterator

import pytest

from chaos.matrix.bench import bench
from chaos.matrix.cells import KINDS, STATES, Cell, Variant, call_cells, operation_cells, state_cells
from chaos.matrix.page import page
from chaos.matrix.trials import Outcome, Trials
from chat_finetune.jobs.polling import PHASES

# What each is about: an answer lost, the sign-in, a long-running operation, an upload, scoring, metrics.
CELLS = (
    "jobs.put (1)/reset after",
    "assets.put_version[[]models] (1)/reset after",
    "workspace.list_secrets (1)/reset before",
    "jobs.get (1)/401",
    "run_history.get_children (1)/503 ×5",
    "identity.token (1)/500",
    "NotResponding/for a moment",
    "Queued/for good",
    "deployments.put (1)/reset after",
    "deployments.put (1), serve/no capacity",
    "endpoints.put (2), serve/fails",
    "scoring.score (1)/429",
)
CALLS: dict[Variant, dict[str, int]] = {
    "train": dict.fromkeys(
        (
            "jobs.put",
            "assets.put_version[models]",
            "workspace.list_secrets",
            "jobs.get",
            "run_history.get_children",
            "identity.token",
        ),
        1,
    ),
    "serve": {"deployments.put": 1, "scoring.score": 1},
}


def test_every_state_of_a_job_is_broken() -> None:
    assert set(STATES) == set(PHASES)


def test_every_call_of_a_run_is_broken_in_every_way_in_the_shortest_run_that_makes_it() -> None:
    cells = call_cells(
        {"train": {"jobs.get": 9, "jobs.put": 1}, "serve": {"jobs.get": 9, "endpoints.put": 3}}
    )
    assert len(cells) == 4 * len(KINDS)
    assert {(cell.row, cell.variant) for cell in cells} == {
        ("jobs.get (1)", "train"), ("jobs.put (1)", "train"),
        ("endpoints.put (1)", "serve"), ("endpoints.put (2)", "serve"),
    }  # fmt: skip


def test_the_page_shows_what_went_wrong() -> None:
    green, red = (Cell("jobs.put (1)", kind, "train", ()) for kind in ("429", "500"))
    text = page([Outcome(green, "Completed", (), 1.0, {}), Outcome(red, "QuotaError", ("no",), 1.0, {})], 2.0)
    assert "2 runs" in text
    assert "1 green" in text
    assert "| `jobs.put (1)` | ✓ | **✗** QuotaError |" in text


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    before = dict(os.environ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Its settings take over SSL_CERT_FILE when it is imported, which leads to a folder that is soon gone.
        import prefect  # noqa: F401

        with bench() as running:
            trials = Trials(running)
            trials.clean_calls(())  # makes the cluster and uploads the data, as before every matrix
            yield trials
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CELLS)
def test_a_run_survives_or_fails_as_it_should_and_leaves_nothing(trials: Trials, name: str) -> None:
    cells = [*call_cells(CALLS), *state_cells(), *operation_cells()]
    (cell,) = (cell for cell in cells if fnmatch.fnmatchcase(f"{cell.row}/{cell.column}", name))
    outcome = trials.run(cell)
    assert outcome.problems == ()
