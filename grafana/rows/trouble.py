"""First row: is anything wrong now, what is running, when will it be done."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat

from exporter.model import State
from grafana import look, queries
from grafana.links import page

_CLUSTERS = f"last_over_time({queries.metric('cluster_up', queries.CLUSTER)}[{queries.MISSED_FOR}])"
CLUSTERS_DOWN = (
    f"count(max by (cluster_id) ({_CLUSTERS})"
    f" unless (max by (cluster_id) ({queries.metric('cluster_up', queries.CLUSTER)}) == 1))"
    f" or 0 * count({_CLUSTERS})"
)
IDLE = "no job is importing"


def alarm(word: str, description: str) -> stat.Panel:
    """How many jobs are in this condition, in its colour as soon as there is one; a click lists them."""
    return look.number(
        word,
        description,
        queries.tally(queries.CONDITIONS[word]),
        colour=look.CONDITION_COLOURS[word],
        alarm=True,
        link=(f"List: {word}", page(state=word)),
    )


def calm(state: State, description: str, *, width: int = 3, height: int = 4) -> stat.Panel:
    """How many jobs are in this state."""
    return look.number(
        state,
        description,
        queries.tally(queries.in_state(state)),
        colour="text" if state is State.PENDING else look.STATE_COLOURS[state],
        width=width,
        height=height,
        link=(f"List: {state}", page(state=state)),
    )


def speed(title: str, description: str, expr: str, unit: str) -> stat.Panel:
    """A figure about all jobs that move."""
    colour = look.STATE_COLOURS[State.IMPORTING]
    return look.number(title, description, expr, colour=colour, unit=unit, no_value=IDLE, width=6, height=3)


def panels() -> list[stat.Panel]:
    """Two lines of figures."""
    return [
        alarm(
            "Failed",
            "Jobs that the API reports as Failed, for as long as they are exposed. The reason is in the table below.",
        ),
        alarm(
            "Stalled",
            f"Importing for {queries.STALLED_AFTER} without any change of progress or rows;"
            f" {queries.STALLED_LATE_AFTER} from {queries.LATE_PROGRESS:.0%} on, where Milvus sorts and builds indexes"
            " and reports little. The alert waits longer.",
        ),
        alarm(
            "Unreadable",
            "Jobs about which the API gave no usable answer. The class of the error is in the table below. Jobs that"
            " the API does not know are counted under Vanished.",
        ),
        alarm(
            "Vanished",
            "Jobs that the API does not know although nobody saw them finish (a mistyped id is one, too), and jobs"
            f" that left the exporter's watch unfinished within {queries.MISSED_FOR}.",
        ),
        alarm(
            "Uncommitted",
            "Two-phase jobs that have imported everything and wait for a commit by their owner. They never end by"
            " themselves.",
        ),
        look.number(
            "Clusters down",
            f"Clusters seen within {queries.MISSED_FOR} whose API gives no usable answer, or whose exporter is no"
            " longer scraped. The row Exporter shows which errors.",
            CLUSTERS_DOWN,
            colour=look.STATE_COLOURS[State.FAILED],
            alarm=True,
            no_value="no exporter",
        ),
        calm(State.IMPORTING, "Jobs that the API is importing now, stalled ones included."),
        calm(State.PENDING, "Jobs that wait for their turn in the cluster's queue."),
        speed(
            "Throughput",
            "Sum over the jobs that are importing of progress per second times size: an estimate, since the API"
            f" reports percents. Over the last {queries.PACE_WINDOW}.",
            f"sum({queries.BYTES_PER_SECOND})",
            "Bps",
        ),
        speed(
            "Rows per second",
            f"Rows imported per second over the last {queries.PACE_WINDOW}; where the API does not count them,"
            " progress per second times rows.",
            f"sum({queries.ROWS_PER_SECOND})",
            "rowsps",
        ),
        speed(
            "All done in",
            f"Until the last of the jobs that move now is done, at the pace of the last {queries.PACE_WINDOW}. Jobs"
            " that stand still have no estimate and are not waited for.",
            f"max({queries.REMAINING})",
            "s",
        ),
        calm(
            State.COMPLETED,
            "Jobs that the API reports as Completed, for as long as they are exposed.",
            width=6,
            height=3,
        ),
    ]
