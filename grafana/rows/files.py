"""Third row: the files of the jobs in view."""

from __future__ import annotations

from grafana_foundation_sdk.builders import table

from grafana import queries
from grafana.links import ONLY_THIS_JOB
from grafana.queries import FILE, JOB, latest, metric, of_worst_files
from grafana.tables import BADGE, BAR, LONG_TEXT, TEXT, Column, figure, listing

STATE = of_worst_files(f"max by ({FILE}, state) ({metric('file_state', JOB)} == 1)")
FINISHED = f"1000 * ({of_worst_files(latest('file_completed_timestamp_seconds', FILE))})"


def _values(name: str) -> str:
    return of_worst_files(latest(name, FILE))


def panels() -> list[table.Panel]:
    """One table: bounded by the query, so it also works while no job is chosen."""
    return [
        listing(
            "Files, worst first: choose one job",
            "At most 200 files of the jobs in view: failed ones, then those with the least progress. When a job fails,"
            " Milvus marks all of its files as failed: the culprit is then in the job's reason, not here.",
            [
                Column("State", STATE, "state", 116, BADGE),
                Column("Progress", _values("file_progress_ratio"), "", 150, BAR),
                Column("File", "", "file_name", 0, LONG_TEXT),
                Column("Size", _values("file_size_bytes"), "", 90, figure("decbytes")),
                Column("Rows", _values("file_rows"), "", 90, figure("short")),
                Column("Imported rows", _values("file_imported_rows"), "", 110, figure("short")),
                Column("Finished", FINISHED, "", 120, figure("dateTimeFromNow")),
                Column("Collection", "", "collection_name", 160, TEXT),
                Column("Job", "", "job_id", 230, (*TEXT, ONLY_THIS_JOB)),
            ],
            worst_first=queries.WORST_FILES,
            descending=False,
            height=10,
            no_value="No files yet: the API lists files once it has read them."
            " `files.series` may be none or unfinished.",
        )
    ]
