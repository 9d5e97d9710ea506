"""The same as `path`, less compressed, so that what does not shrink with Azure's durations weighs less."""

from benchmarks.path import measure


def main() -> None:
    print(measure(compression=10, round_count=1))


if __name__ == "__main__":
    main()
