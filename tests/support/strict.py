"""What every exposition has to keep, whatever the API said; and its samples, to be looked up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from math import isfinite

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.metrics.body import Body
from exporter.model import ErrorClass, State

PREFIX = "zilliz_import_"
STATES = {str(state) for state in State}
ERRORS = {str(error) for error in ErrorClass}
# Those that depend on when the jobs were scraped.
TIMES_OF_WATCHING = {
    "job_refreshed_timestamp_seconds",
    "job_first_seen_timestamp_seconds",
    "job_last_change_timestamp_seconds",
}

Labels = frozenset[tuple[str, str]]


def labels(**values: str) -> Labels:
    """A label set."""
    return frozenset(values.items())


class Exposed:
    """The samples of one body, by name without `zilliz_import_` and by labels; AssertionError if it is invalid."""

    def __init__(self, body: Body) -> None:
        """Read both formats; both must be valid and say the same."""
        self.text = _text(body, openmetrics=False)
        self._samples = _samples(parse_text(self.text))
        openmetrics = _samples(_parse_openmetrics(_text(body, openmetrics=True)))
        assert _gauges(self._samples) == _gauges(openmetrics)
        self._families: Mapping[str, dict[Labels, float]] = _by_family(self._samples)
        _check(self._families)

    def family(self, name: str) -> dict[Labels, float]:
        """All samples of a family."""
        return dict(self._families.get(name, {}))

    def value(self, name: str, **wanted: str) -> float | None:
        """The value of the only sample that bears these labels; None if there is none."""
        found = [value for has, value in self.family(name).items() if has >= set(wanted.items())]
        assert len(found) <= 1, f"{name}{wanted}: {found}"
        return found[0] if found else None

    def state(self, job_id: str) -> str | None:
        """The state that is 1 for a job."""
        return next((dict(has)["state"] for has, value in self._about("job_state", job_id) if value == 1), None)

    def error(self, job_id: str) -> str | None:
        """The class of the error of a job that is not up."""
        return next((dict(has)["error"] for has, _ in self._about("job_error", job_id)), None)

    def about(self, job_id: str) -> dict[str, dict[Labels, float]]:
        """All samples about a job, without the times of watching it."""
        return {
            name: dict(found)
            for name in self._families
            if name not in TIMES_OF_WATCHING and (found := self._about(name, job_id))
        }

    def _about(self, name: str, job_id: str) -> list[tuple[Labels, float]]:
        return [(has, value) for has, value in self.family(name).items() if ("job_id", job_id) in has]


def _text(body: Body, *, openmetrics: bool) -> str:
    return b"".join(body.chunks(openmetrics=openmetrics, gzip=False)).decode()


def _parse_openmetrics(text: str) -> Iterable[Metric]:
    families: Iterable[Metric] = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # the library's gap
    return families


def _samples(families: Iterable[Metric]) -> list[tuple[str, Labels, float]]:
    return [
        (sample.name, frozenset(sample.labels.items()), sample.value)
        for family in families
        for sample in family.samples
    ]


def _gauges(samples: Iterable[tuple[str, Labels, float]]) -> dict[tuple[str, Labels], float]:
    return {(name, has): value for name, has, value in samples if name.startswith((PREFIX + "job", PREFIX + "file"))}


def _by_family(samples: Iterable[tuple[str, Labels, float]]) -> dict[str, dict[Labels, float]]:
    families: dict[str, dict[Labels, float]] = defaultdict(dict)
    for name, has, value in samples:
        family = families[name.removeprefix(PREFIX)]
        assert has not in family, f"{name} has {dict(has)} twice"
        family[has] = value
    return families


def _check(families: Mapping[str, Mapping[Labels, float]]) -> None:
    for name, samples in families.items():
        if name.startswith(("job", "file", "cluster")):
            assert all(isfinite(value) for value in samples.values()), name
        if name.endswith("_ratio"):
            assert all(0 <= value <= 1 for value in samples.values()), name
    _check_states(families.get("job_state", {}))
    _check_states(families.get("file_state", {}))
    for has, up in families.get("job_up", {}).items():
        errors = [e for e in families.get("job_error", {}) if e >= has]
        assert len(errors) == (up == 0)
        assert all(dict(each)["error"] in ERRORS for each in errors)
        assert any(each >= has for each in families.get("job_state", {})) == (up == 1)


def _check_states(samples: Mapping[Labels, float]) -> None:
    ones: Counter[Labels] = Counter()
    seen: defaultdict[Labels, set[str]] = defaultdict(set)
    for has, value in samples.items():
        assert value in (0, 1)
        of = frozenset(item for item in has if item[0] != "state")
        ones[of] += value == 1
        seen[of].add(dict(has)["state"])
    assert all(count == 1 for count in ones.values())
    assert all(states == STATES for states in seen.values())
