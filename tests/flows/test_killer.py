"""The killer's short form; `make chaos` kills longer. A seed that ever failed stays here."""

from pathlib import Path

import pytest

from chaos.killer import REGISTRY, run_killer
from chaos.service import Service

pytestmark = pytest.mark.slow

# Both: a sign-in that met a service being restarted was taken for a refusal, and ended the run.
SEEDS = (2, 3)
KILLS = 6


@pytest.mark.parametrize("seed", SEEDS)
def test_kills_at_random_instants_duplicate_leak_and_lose_nothing(
    seed: int, prefect_server: Path, sdk: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_URL

    with Service(tmp_path / "azure", REGISTRY) as service:
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        damage = run_killer(service, str(PREFECT_API_URL.value()), tmp_path, KILLS, seed)
    assert damage.violations == []
    assert damage.kills.total() == KILLS
    assert damage.runs >= 1
