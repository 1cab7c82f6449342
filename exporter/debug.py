"""The text of `/probe?debug=true`: what was asked, what was answered, and what was made of it, without secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields

from exporter.api.client import Exchange
from exporter.api.errors import ApiError
from exporter.model import File, Job, ListPage
from exporter.scrape import Target
from exporter.watch.sources import ListTarget, list_targets

JOBS_EXPLAINED = 3
LISTS_EXPLAINED = 3
FILES_EXPLAINED = 20


def explain(target: Target, job_id: str | None, deadline: float) -> str:
    """Ask about the job, or read the lists and ask about the few watched jobs that need a look most.

    All of it ends at `deadline` (monotonic seconds).
    """
    cluster, watch = target.cluster, target.watch
    watched, total = watch.worst(JOBS_EXPLAINED)
    job_ids = [view.job_id for view in watched] if job_id is None else [job_id]
    lines = [
        f"cluster {cluster.cluster_id} ({cluster.api}) at {cluster.base_url}",
        f"jobs watched: {total}; last error: {_printable(watch.last_error) or 'none'}",
    ]
    if job_id is None:
        lines.append(f"asked about {len(job_ids)} of them; name one with &job_id=")
        for listed in _lists(target)[:LISTS_EXPLAINED]:
            lines += ["", f"== list of {_name(listed)}, page 1", *_lines(target.explain_list(listed, deadline))]
    for each in job_ids:
        view = watch.view(each)
        lines += ["", f"== job {each}", "watched: " + ("no" if view is None else f"yes, named by {view.source}")]
        lines += _lines(target.explain(each, deadline))
    return "\n".join(lines) + "\n"


def _lists(target: Target) -> tuple[ListTarget, ...]:
    discovery = target.cluster.discovery
    return () if discovery is None else list_targets(discovery.databases, discovery.collections)


def _name(listed: ListTarget) -> str:
    where = [f"collection {listed.collection}" if listed.collection else "all collections"]
    return " in ".join(where + [f"database {listed.database}"] * bool(listed.database))


def _lines(exchange: Exchange | None) -> Iterator[str]:
    if exchange is None:
        yield "not asked: the rate limit gave no turn within the budget"
        return
    yield f"> {exchange.request_line}"
    for name, value in exchange.request_headers:
        yield f"> {name}: {value}"
    yield f"> {exchange.request_body}"
    yield "< no complete reply" if exchange.status is None else f"< HTTP {exchange.status}"
    for name, value in exchange.reply_headers:
        yield f"< {name}: {_printable(value)}"
    for line in exchange.reply_text.split("\n"):
        yield f"< {_printable(line)}"
    yield from _outcome(exchange.outcome)


def _outcome(outcome: Job | ListPage | ApiError) -> Iterator[str]:
    if isinstance(outcome, ApiError):
        yield f"= up 0, error {outcome.error}: {_printable(str(outcome))}"
        return
    if isinstance(outcome, ListPage):
        states = Counter(listed.state for listed in outcome.jobs)
        yield f"= {len(outcome.jobs)} jobs: " + (", ".join(f"{states[state]} {state}" for state in states) or "none")
        return
    yield "= up 1"
    for field in fields(outcome):
        if field.name not in {"files", "file_states"}:
            yield f"=   {field.name}: {_shown(getattr(outcome, field.name))}"
    for file in (outcome.files or ())[:FILES_EXPLAINED]:
        yield "=   file " + _file(file)
    left_out = len(outcome.files or ()) - FILES_EXPLAINED
    if left_out > 0:
        yield f"=   and {left_out} more files"


def _file(file: File) -> str:
    return ", ".join(f"{field.name}: {_shown(getattr(file, field.name))}" for field in fields(file))


def _shown(value: object) -> str:
    return "not given" if value is None else _printable(str(value))


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
