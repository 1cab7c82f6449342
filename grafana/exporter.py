"""The row *Exporter* of the dashboard *Zilliz / Imports*: is it alive, does the API answer, does it keep up."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import common as cm

from exporter.model import State
from grafana import look
from grafana.queries import ALL_JOBS, CLUSTER, EXPORTER, ID, SCRAPED, latest, metric


def panels() -> list[stat.Panel | timeseries.Panel]:
    """Is the exporter alive, does the API answer, does it keep up."""

    def rate(name: str) -> str:
        return f"rate({metric(name, CLUSTER)}[$__rate_interval])"

    def per_cluster(name: str) -> str:
        return latest(name, CLUSTER, "cluster_id")

    def quantile(share: float) -> str:
        buckets = f"max by (le, cluster_id, operation) ({rate('api_request_duration_seconds_bucket')})"
        return f"histogram_quantile({share}, sum by (le, cluster_id) ({buckets}))"

    reloaded = metric("exporter_config_last_reload_successful", EXPORTER)
    answered = latest("job_refreshed_timestamp_seconds", CLUSTER)
    unfinished = metric("job_state", f'{CLUSTER}, state=~"{State.PENDING}|{State.IMPORTING}"')
    omitted = f"sum without (collection_name, job_id) ({metric('job_files_omitted', ALL_JOBS.job)})"
    return [
        look.number(
            "Targets",
            "The worst of the scrape targets chosen above, as Prometheus sees them.",
            f"min(up{{{EXPORTER}}} and on (job, instance) last_over_time({SCRAPED}[1d]))",
            mappings=[look.words({"1": ("up", look.CALM), "0": ("DOWN", look.BAD)})],
            width=5,
        ),
        look.number(
            "Configuration",
            "Whether the last reload of the configuration worked. If not, the exporter goes on with the one before.",
            f"min({reloaded})",
            mappings=[look.words({"1": ("loaded", look.CALM), "0": ("REFUSED", look.BAD)})],
            width=5,
        ),
        look.number(
            "Configuration read",
            "When the configuration was last read without an error.",
            f"1000 * min({metric('exporter_config_last_reload_success_timestamp_seconds', EXPORTER)})",
            unit="dateTimeFromNow",
            width=5,
        ),
        look.number(
            "Version",
            "Version of the exporter, from its build information.",
            f"max by (version) ({metric('exporter_build_info', EXPORTER)})",
            legend="{{version}}",
            width=4,
        ).text_mode(cm.BigValueTextMode.NAME),
        look.number(
            "Memory",
            "Resident memory of the exporter's process; the largest, where several are chosen.",
            f"max(process_resident_memory_bytes{{{EXPORTER}}})",
            unit="bytes",
            width=5,
        ),
        look.graph(
            "API requests",
            "Attempts per second of the busiest exporter: `progress` reads one import, `list` is discovery.",
            [
                look.over_time(
                    f"max by (cluster_id, operation) ({rate('api_requests_total')})", "{{cluster_id}} {{operation}}"
                )
            ],
            unit="reqps",
            width=8,
        ),
        look.graph(
            "API errors by class",
            "Failed attempts per second, by the class that the label `error` and the log name.",
            [
                look.over_time(
                    f"sum by (error) (max by (cluster_id, operation, error) ({rate('api_errors_total')})) > 0",
                    "{{error}}",
                )
            ],
            unit="reqps",
            width=8,
            no_value="No API errors in this range.",
        ),
        look.graph(
            "API latency",
            "Duration of requests: median and 95th percentile over both operations.",
            [
                look.over_time(quantile(0.5), "{{cluster_id}} p50", "A"),
                look.over_time(quantile(0.95), "{{cluster_id}} p95", "B"),
            ],
            unit="s",
            width=8,
        ),
        look.graph(
            "Backlog and limits",
            "Imports due but not queried in a scrape, imports over `max_jobs`, and files without series of their"
            " own because of `max_per_job` or `max_total`. A backlog after a start is normal.",
            [
                look.over_time(per_cluster("cluster_jobs_waiting"), "{{cluster_id}} imports waiting", "A"),
                look.over_time(per_cluster("cluster_jobs_omitted"), "{{cluster_id}} imports over limit", "B"),
                look.over_time(f"max by (cluster_id) ({omitted})", "{{cluster_id}} files not listed", "C"),
            ],
            unit="none",
            width=8,
        ).decimals(0),
        look.graph(
            "Oldest answer",
            "Age of the oldest answer about an import that is pending or runs; above `max_age` it is not exposed.",
            [
                look.over_time(
                    f"max by (cluster_id) (time() - ({answered} and on ({ID}) ({unfinished} == 1)))",
                    "{{cluster_id}}",
                    step="1m",
                )
            ],
            unit="s",
            width=8,
            no_value="No import is running.",
        ),
        look.graph(
            "Scrape duration",
            "How long the scrapes took per cluster; their limit is Prometheus' scrape timeout less the offset.",
            [look.over_time(per_cluster("scrape_duration_seconds"), "{{cluster_id}}")],
            unit="s",
            width=8,
        ),
        look.graph(
            "Imports watched",
            "Imports watched, by source: the configuration, a file of `job_lists`, or discovery.",
            [look.over_time(latest("cluster_jobs", CLUSTER, "cluster_id, source"), "{{cluster_id}} {{source}}")],
            unit="none",
        ).decimals(0),
        look.state_colours(
            look.graph(
                "Imports in the lists",
                "Imports by state in the last complete reading of the API's lists, watched or not.",
                [
                    look.over_time(
                        f"sum by (state) ({latest('cluster_listed_jobs', CLUSTER, 'cluster_id, state')})", "{{state}}"
                    )
                ],
                unit="none",
                stacked=True,
                no_value="No list was read completely in this range, or discovery is off.",
            ).decimals(0),
            State,
        ),
    ]
