"""Fourth row: what happened in the chosen time range."""

from __future__ import annotations

from grafana_foundation_sdk.builders import statetimeline, timeseries

from exporter.model import State
from grafana import look, queries

NEWEST = 15


def panels() -> list[statetimeline.Panel | timeseries.Panel]:
    """The course of single jobs, then of all."""
    ended = ((State.COMPLETED, "A"), (State.FAILED, "B"))
    return [
        look.timeline(
            "State of the newest jobs",
            f"The {NEWEST} jobs among those in view that the exporter saw last. A gap means that the job could not be"
            " read.",
            queries.STATE_NUMBER,
            "{{collection_name}} {{job_id}}",
            height=10,
        ),
        look.state_colours(
            look.graph(
                "Jobs by state",
                "Jobs exposed in each state. Finished ones leave when `finished_for` is over.",
                [
                    look.over_time(
                        f"sum by (state) ({queries.metric('job_state', queries.JOB)})", "{{state}}", step="1m"
                    )
                ],
                unit="none",
                stacked=True,
            ).decimals(0),
            State,
        ),
        look.state_colours(
            look.graph(
                "Jobs that ended",
                "Jobs that ended within each bar, by the finish time that the API gives; failed jobs of Milvus have"
                " none and count when first seen failed.",
                [look.over_time(queries.newly_finished(state), state, ref, step="5m") for state, ref in ended],
                unit="none",
                stacked=True,
                bars=True,
                no_value="No job ended in this range.",
                summary="sum",
            ).decimals(0),
            [state for state, _ in ended],
        ),
    ]
