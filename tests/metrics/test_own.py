from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics.own import BUCKETS, OPERATIONS, REQUEST_ERRORS, OwnMetrics
from exporter.metrics.render import Collected
from exporter.model import ErrorClass, State

ERRORS = "zilliz_import_api_errors_total"
REQUESTS = "zilliz_import_api_requests_total"


@pytest.fixture
def own() -> OwnMetrics:
    own = OwnMetrics("1.2.3", "abcdef")
    own.add_cluster("c")
    return own


def value(own: OwnMetrics, name: str, **labels: str) -> float | None:
    samples = [sample for family in own.collect() for sample in family.samples]
    return next((each.value for each in samples if (each.name, each.labels) == (name, labels)), None)


def clusters(families: Iterable[Metric]) -> set[str]:
    return {
        sample.labels["cluster_id"] for family in families for sample in family.samples if "cluster_id" in sample.labels
    }


def families_and_help(families: Iterable[Metric]) -> list[tuple[str, str]]:
    return [(family.name, family.documentation) for family in families]


def test_every_class_of_request_error_is_there_from_the_start_at_0(own: OwnMetrics) -> None:
    assert set(ErrorClass) - set(REQUEST_ERRORS) == {ErrorClass.EXPIRED, ErrorClass.VANISHED, ErrorClass.STARVED}
    for operation in OPERATIONS:
        assert value(own, REQUESTS, cluster_id="c", operation=operation) == 0
        for error in REQUEST_ERRORS:
            assert value(own, ERRORS, cluster_id="c", operation=operation, error=error) == 0


def test_a_request_is_counted_and_timed_and_a_failed_one_also_by_its_class(own: OwnMetrics) -> None:
    own.observe("c", "progress", 0.2, None)
    own.observe("c", "progress", 0.3, ErrorClass.HTTP)
    assert value(own, REQUESTS, cluster_id="c", operation="progress") == 2
    assert value(own, ERRORS, cluster_id="c", operation="progress", error="http") == 1
    duration = "zilliz_import_api_request_duration_seconds"
    assert value(own, f"{duration}_sum", cluster_id="c", operation="progress") == 0.5
    assert value(own, f"{duration}_bucket", cluster_id="c", operation="progress", le="0.25") == 1
    assert value(own, f"{duration}_bucket", cluster_id="c", operation="progress", le=str(BUCKETS[-1])) == 2


def test_series_of_a_cluster_end_when_it_is_forgotten_and_others_keep_their_counts(own: OwnMetrics) -> None:
    own.observe("c", "list", 0.2, None)
    own.add_cluster("d")
    own.observe("d", "list", 0.2, ErrorClass.TIMEOUT)
    own.forget_cluster("d")
    own.observe("d", "list", 0.2, ErrorClass.TIMEOUT)
    assert value(own, REQUESTS, cluster_id="c", operation="list") == 1
    assert clusters(own.collect()) == {"c"}


def test_adding_and_forgetting_twice_changes_nothing(own: OwnMetrics) -> None:
    own.observe("c", "list", 0.2, None)
    own.add_cluster("c")
    assert value(own, REQUESTS, cluster_id="c", operation="list") == 1
    own.forget_cluster("c")
    own.forget_cluster("c")
    assert clusters(own.collect()) == set()


def test_only_series_of_the_clusters_asked_for_are_collected_and_all_other_families(own: OwnMetrics) -> None:
    own.add_cluster("d")
    own.observe("d", "list", 0.2, ErrorClass.TIMEOUT)
    assert clusters(own.collect()) == {"c", "d"}
    assert clusters(own.collect(["c"])) == {"c"}
    assert clusters(own.collect([])) == set()
    assert families_and_help(own.collect([])) == families_and_help(own.collect())
    assert clusters(own.collect()) == {"c", "d"}


def test_a_failed_reload_keeps_the_time_of_the_last_good_one(own: OwnMetrics) -> None:
    successful = "zilliz_import_exporter_config_last_reload_successful"
    time = "zilliz_import_exporter_config_last_reload_success_timestamp_seconds"
    assert (own.reload_failed, own.loaded) == (False, None)
    own.reload_done(ok=True, at=100.0)
    own.reload_done(ok=False, at=200.0)
    assert (value(own, successful), value(own, time)) == (0, 100)
    assert (own.reload_failed, own.loaded) == (True, 100)
    own.reload_done(ok=True, at=300.0)
    assert (value(own, successful), value(own, time)) == (1, 300)


def test_build_process_and_python_are_named(own: OwnMetrics) -> None:
    families = {family.name: family for family in own.collect()}
    labels = families["zilliz_import_exporter_build_info"].samples[0].labels
    assert labels["version"] == "1.2.3"
    assert labels["revision"] == "abcdef"
    assert labels["pythonversion"].startswith("3.")
    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections"} <= families.keys()


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_nothing_has_created_series(own: OwnMetrics, accept: str) -> None:
    encode, _ = choose_encoder(accept)
    assert b"_created" not in encode(Collected(own.collect()))


def test_requests_may_end_in_many_threads_while_clusters_come_and_go(own: OwnMetrics) -> None:
    def observe() -> None:
        for _ in range(200):
            own.observe("c", "progress", 0.1, None)
            own.observe("d", "progress", 0.1, None)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        own.add_cluster("d")
        own.collect()
        own.forget_cluster("d")
    for thread in threads:
        thread.join()
    assert value(own, REQUESTS, cluster_id="c", operation="progress") == 800
    assert value(own, REQUESTS, cluster_id="d", operation="progress") is None
    assert list(text_string_to_metric_families(choose_encoder("")[0](Collected(own.collect())).decode()))


def test_jobs_that_finish_are_counted_by_collection_and_state_until_their_cluster_is_forgotten(own: OwnMetrics) -> None:
    own.job_finished("c", "articles", State.COMPLETED)
    own.job_finished("c", "articles", State.COMPLETED)
    own.job_finished("c", "articles", State.FAILED)
    own.job_finished("unheard of", "articles", State.FAILED)
    finished = "zilliz_import_jobs_finished_total"
    assert value(own, finished, cluster_id="c", collection_name="articles", state="Completed") == 2
    assert value(own, finished, cluster_id="c", collection_name="articles", state="Failed") == 1
    own.forget_cluster("c")
    own.add_cluster("c")
    assert value(own, finished, cluster_id="c", collection_name="articles", state="Completed") is None
