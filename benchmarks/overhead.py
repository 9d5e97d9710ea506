"""Everything instantaneous: what our flow takes beyond a plain script that makes the same SDK calls."""

import tempfile
from pathlib import Path

from benchmarks.contenders import Contenders, surroundings
from benchmarks.measuring import table, take_turns, verdict

_ROUND_COUNT = 5
_RATIO = 1.1


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as folder:
        root = Path(folder)
        with surroundings(root, "fast") as (service, url):
            contenders = Contenders(root, service, url)
            contenders.script()  # makes the cluster, which stays, and the compiled files
            contenders.flow()
            taken = take_turns({"script": contenders.script, "flow": contenders.flow}, _ROUND_COUNT)
    ratio = taken["flow"].over(taken["script"])
    rows = [
        ("plain script", taken["script"].shown(1), "1.0"),
        ("our flow, its Prefect included", taken["flow"].shown(1), ratio.shown()),
    ]
    print(table(("contender", "seconds", "times the script"), rows))
    print()
    print(verdict("wall time over the script's", ratio.median, _RATIO, at_most=True))


if __name__ == "__main__":
    main()
