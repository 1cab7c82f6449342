"""Last row, collapsed: is the exporter alive, does the API answer, does it keep up."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import common as cm

from exporter.model import State
from grafana import look
from grafana.queries import CLUSTER, EXPORTER, ID, JOB, metric

GOOD = look.STATE_COLOURS[State.COMPLETED]
BAD = look.STATE_COLOURS[State.FAILED]
PLAIN = "text"

_RUNNING = f'zilliz_import_job_state{{{CLUSTER}, state=~"{State.PENDING}|{State.IMPORTING}"}} == 1'
_ANSWERED = metric("job_refreshed_timestamp_seconds", CLUSTER)
OLDEST_ANSWER = f"max by (cluster_id) (time() - ({_ANSWERED} and on ({ID}) ({_RUNNING})))"


def _rate(name: str) -> str:
    return f"rate({metric(name, CLUSTER)}[$__rate_interval])"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, sum by (le, cluster_id) ({_rate('api_request_duration_seconds_bucket')}))"


def _per_cluster(name: str) -> str:
    return f"max by (cluster_id) ({metric(name, CLUSTER)})"


def health() -> list[stat.Panel]:
    """One line of facts."""
    version = f"max by (version) ({metric('exporter_build_info', EXPORTER)})"
    return [
        look.number(
            "Up",
            "The worst of the scrape targets chosen above, as Prometheus sees them.",
            f"min(up{{{EXPORTER}}})",
            colour=GOOD,
            width=5,
            no_value="not scraped",
        ).mappings([look.words({"1": ("up", GOOD), "0": ("DOWN", BAD)})]),
        look.number(
            "Configuration",
            "Whether the last reload of the configuration worked. If not, the exporter goes on with the one before.",
            f"min({metric('exporter_config_last_reload_successful', EXPORTER)})",
            colour=GOOD,
            width=5,
        ).mappings([look.words({"1": ("loaded", GOOD), "0": ("REJECTED", BAD)})]),
        look.number(
            "Configuration read",
            "When the configuration was last read without an error.",
            f"1000 * min({metric('exporter_config_last_reload_success_timestamp_seconds', EXPORTER)})",
            colour=PLAIN,
            unit="dateTimeFromNow",
            width=5,
        ),
        look.number(
            "Version",
            "Version of the exporter, from its build information.",
            version,
            legend="{{version}}",
            colour=PLAIN,
            width=4,
        ).text_mode(cm.BigValueTextMode.NAME),
        look.number(
            "Memory",
            "Resident memory of the exporter's process; the largest, where several are chosen.",
            f"max(process_resident_memory_bytes{{{EXPORTER}}})",
            colour=PLAIN,
            unit="bytes",
            width=5,
        ),
    ]


def api() -> list[timeseries.Panel]:
    """Requests, errors, duration of what the exporter asks."""
    return [
        look.graph(
            "API requests",
            "Attempts per second: `progress` asks about one job, `list` is discovery. Zilliz Cloud allows 20 per user.",
            [
                look.over_time(
                    f"sum by (cluster_id, operation) ({_rate('api_requests_total')})", "{{cluster_id}} {{operation}}"
                )
            ],
            unit="reqps",
            width=8,
        ),
        look.graph(
            "API errors by class",
            "Failed attempts per second, by the class that the label `error` and the log name.",
            [look.over_time(f"sum by (error) ({_rate('api_errors_total')}) > 0", "{{error}}")],
            unit="reqps",
            width=8,
            no_value="No API errors in this range.",
        ),
        look.graph(
            "API latency",
            "Duration of requests: median and 95th percentile over both operations.",
            [
                look.over_time(_quantile(0.5), "{{cluster_id}} p50", "A"),
                look.over_time(_quantile(0.95), "{{cluster_id}} p95", "B"),
            ],
            unit="s",
            width=8,
        ),
    ]


def pace() -> list[timeseries.Panel]:
    """Whether the exporter keeps up with its jobs."""
    omitted_files = f"sum by (cluster_id) ({metric('job_files_omitted', JOB)})"
    return [
        look.graph(
            "Backlog and limits",
            "Jobs whose turn did not come in a scrape, jobs over `max_jobs`, and files without series of their own"
            " because of `max_per_job` or `max_total`. A backlog after a start is normal.",
            [
                look.over_time(_per_cluster("cluster_jobs_waiting"), "{{cluster_id}} jobs waiting", "A"),
                look.over_time(_per_cluster("cluster_jobs_omitted"), "{{cluster_id}} jobs over limit", "B"),
                look.over_time(omitted_files, "{{cluster_id}} files not listed", "C"),
            ],
            unit="none",
            width=6,
        ).decimals(0),
        look.graph(
            "Oldest answer",
            "Age of the oldest answer about a job that is pending or importing; above `max_age` it is not exposed.",
            [look.over_time(OLDEST_ANSWER, "{{cluster_id}}", step="1m")],
            unit="s",
            width=6,
            no_value="No job is running.",
        ),
        look.graph(
            "Scrape duration",
            "How long the scrapes took per cluster; their limit is Prometheus' scrape timeout less the offset.",
            [look.over_time(_per_cluster("scrape_duration_seconds"), "{{cluster_id}}")],
            unit="s",
            width=6,
        ),
        look.graph(
            "Jobs watched",
            "Jobs watched, by who named them: the configuration, a file of `job_lists`, or discovery.",
            [
                look.over_time(
                    f"sum by (cluster_id, source) ({metric('cluster_jobs', CLUSTER)})", "{{cluster_id}} {{source}}"
                )
            ],
            unit="none",
            width=6,
        ).decimals(0),
    ]


def panels() -> list[stat.Panel | timeseries.Panel]:
    """Facts, the API, the pace."""
    return [*health(), *api(), *pace()]
