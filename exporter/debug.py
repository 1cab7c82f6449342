"""The text of `/probe?debug=true`: what was asked, what was answered, and what was made of it, without secrets."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import partial

from exporter import humanize
from exporter.api.attempt import Attempt
from exporter.api.client import Exchange
from exporter.api.errors import ApiError
from exporter.collector.cluster import Cluster
from exporter.collector.request import explained
from exporter.model import File, Job, ListPage, ListTarget

JOBS_EXPLAINED = 3
LISTS_EXPLAINED = 3
FILES_EXPLAINED = 20
CHOSEN = "unreadable ones first, then failed, uncommitted, unfinished and finished ones, the latest of each"
DEEPEST = 12
"""Steps by which a reply is indented at most, whatever it holds."""

_FORMATS: Mapping[str, Callable[[float], str]] = {
    "progress": lambda ratio: f"{100 * ratio:.4g} %",
    "size": humanize.size,
    "rows": humanize.count,
    "imported_rows": humanize.count,
    "completed_at": humanize.moment,
    "created_at": humanize.moment,
}
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
_OPENING, _CLOSING, _MARKS = frozenset("[{"), frozenset("]}"), frozenset("[]{},:")


async def explain(cluster: Cluster, job_id: str | None, budget: float) -> str:
    """Query the job, or read the lists and query the few watched jobs that need a look most.

    All of it takes at most `budget` seconds, and the lists half of that, as in a scrape.
    """
    settings, jobs = cluster.jobs.settings.cluster, cluster.jobs
    job_ids = [record.job_id for record in jobs.worst(JOBS_EXPLAINED)] if job_id is None else [job_id]
    begun = asyncio.get_running_loop().time()
    lines = [
        f"cluster {settings.cluster_id} ({settings.api}) at {settings.base_url}",
        f"jobs watched: {len(jobs)}; last error: {humanize.printable(cluster.last_error) or 'none'}",
    ]
    if job_id is None:
        lines.append(f"queried {len(job_ids)} of them, {CHOSEN}; name another one with &job_id=")
        for listed in settings.lists[:LISTS_EXPLAINED]:
            call = partial(
                cluster.jobs.endpoint.api.explain_list, collection=listed.collection, database=listed.database
            )
            exchange = await _call(cluster, call, begun + budget / 2)
            lines += ["", f"== list of {_name(listed)}, page 1", *_lines(exchange)]
    for each in job_ids:
        record = jobs.get(each)
        lines += ["", f"== job {each}", "watched: " + ("no" if record is None else f"yes, named by {record.source}")]
        database = "" if record is None else record.list_database
        call = partial(cluster.jobs.endpoint.api.explain, each, database=database)
        lines += _lines(await _call(cluster, call, begun + budget))
    return "\n".join(lines) + "\n"


async def _call(cluster: Cluster, call: Callable[[Attempt], Exchange], deadline: float) -> Exchange | str:
    """Make a call at the cluster's rate, until `deadline` (time of the loop); or say why not."""
    loop = asyncio.get_running_loop()
    if loop.time() >= deadline:
        return "the calls before it used up the time"
    limit = cluster.jobs.endpoint.limit
    exchange = await explained(cluster.jobs.endpoint, call, deadline)
    if exchange is not None:
        return exchange
    if limit.held_until < deadline:
        return "the rate limit gave no turn within the budget"
    return f"the API asked to wait; nothing is sent for another {humanize.duration(limit.held_until - loop.time())}"


def _name(listed: ListTarget) -> str:
    where = [f"collection {listed.collection}" if listed.collection else "all collections"]
    return " in ".join(where + [f"database {listed.database}"] * bool(listed.database))


def _lines(exchange: Exchange | str) -> Iterator[str]:
    if isinstance(exchange, str):
        yield f"not queried: {exchange}"
        return
    if not exchange.sent:
        yield "not sent; it would have been:"
    yield f"> {exchange.request_line}"
    for name, value in exchange.request_headers:
        yield f"> {name}: {value}"
    yield f"> {exchange.request_body}"
    if exchange.status is not None:
        yield f"< HTTP {exchange.status}"
    elif exchange.sent:
        yield "< no complete reply"
    for name, value in exchange.reply_headers:
        yield f"< {name}: {humanize.printable(value)}"
    for line in _reply_lines(exchange.reply_text):
        yield f"< {humanize.printable(line)}"
    if exchange.reply_left_out:
        yield f"< … {exchange.reply_left_out} more bytes"
    yield from _outcome(exchange.outcome)


def _reply_lines(text: str) -> Iterable[str]:
    return _json_lines(text) if text.lstrip().startswith("{") else text.split("\n")


def _json_lines(text: str) -> Iterator[str]:
    """One value per line, each token as it was sent; the text may be cut off, or wrong, anywhere."""
    depth, line, before = 0, "", ""
    for token in _JSON_TOKEN.findall(text):
        opened, closes = before in _OPENING, token in _CLOSING
        depth -= closes
        if before == "," or opened != closes:
            yield line
            line = "  " * min(max(depth, 0), DEEPEST)
        elif before == ":" or not (before in _MARKS or token in _MARKS):
            line += " "
        line += token
        depth += token in _OPENING
        before = token
    yield line


def _outcome(outcome: Job | ListPage | ApiError) -> Iterator[str]:
    if isinstance(outcome, ApiError):
        yield f"= up 0, error {outcome.error}: {humanize.printable(str(outcome))}"
        return
    if isinstance(outcome, ListPage):
        states = Counter(listed.state for listed in outcome.jobs)
        yield f"= {len(outcome.jobs)} jobs: " + (", ".join(f"{states[state]} {state}" for state in states) or "none")
        return
    yield "= up 1"
    for field in fields(outcome):
        if field.name not in {"files", "file_states"}:
            yield f"=   {field.name}: {_shown(field.name, getattr(outcome, field.name))}"
    for file in (outcome.files or ())[:FILES_EXPLAINED]:
        yield "=   file " + _file(file)
    left_out = len(outcome.files or ()) - FILES_EXPLAINED
    if left_out > 0:
        yield f"=   and {left_out} more files"


def _file(file: File) -> str:
    return ", ".join(f"{field.name}: {_shown(field.name, getattr(file, field.name))}" for field in fields(file))


def _shown(name: str, value: object) -> str:
    if value is None or value == "":
        return "not given"
    if isinstance(value, float):
        return f"{_FORMATS[name](value)} ({repr(value).removesuffix('.0')})"
    return humanize.printable(str(value))
