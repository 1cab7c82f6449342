"""All benchmarks as one table of ratios: `python -m benchmarks`; it takes a few minutes.

Ratios of one run can be compared with those of another on the same machine, by `--compare`; times alone cannot.
A ratio that is not as wanted has an exclamation mark.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.exposition import SIZES, Bench, memory_row
from benchmarks.real_prometheus import seen_by_prometheus
from benchmarks.scrapes import large, many_finished, wall_time
from benchmarks.table import Row, facts, print_rows, ratios_of, write

RESULTS = Path(__file__).with_name("results.json")


def _rows(directory: Path) -> Iterator[Row]:
    yield from wall_time(directory)
    yield from many_finished(directory)
    generating_cpu = 0.0
    for jobs in SIZES.values():
        bench = Bench(jobs)
        yield from bench.rows()
        generating_cpu = bench.generating_cpu
        del bench
    yield memory_row(max(SIZES.values()))
    yield from large(directory, generating_cpu)
    yield from seen_by_prometheus(directory)


def main() -> None:
    """Print the table and write it to results.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--compare", type=Path, metavar="FILE", help="results.json of an earlier run")
    parser.add_argument("--output", type=Path, metavar="FILE", default=RESULTS, help="where to write this run")
    arguments = parser.parse_args()
    before = ratios_of(arguments.compare) if arguments.compare else {}
    about = facts()
    with tempfile.TemporaryDirectory() as directory:
        rows = list(print_rows(_rows(Path(directory)), before))
    write(arguments.output, rows, about)
    print(f"\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
