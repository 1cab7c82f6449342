"""The committed page: what its code makes, whole in itself, with links that lead back to it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from exporter.model import State
from grafana.dashboard import COMMAND, FILE, render
from grafana.links import FILTERS, UID
from grafana.look import CONDITION_COLOURS, STATE_COLOURS
from grafana.queries import CONDITIONS, TIMELINE_ORDER
from tests.grafana.reading import ANNOTATIONS, BOARD, PANELS, VARIABLES, Json


def test_the_committed_dashboard_is_what_its_code_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == render(), f"run: {COMMAND}"


def test_ids_of_panels_and_rows_are_unique() -> None:
    ids = [each["id"] for each in [*PANELS, *(row for row in BOARD["panels"] if row["type"] == "row")]]
    assert len(set(ids)) == len(ids)
    assert all(ids)


def test_titles_of_panels_are_unique() -> None:
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


def test_rows_answer_from_what_is_wrong_now_down_to_the_exporter_itself() -> None:
    rows = [(panel["title"], bool(panel["collapsed"])) for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows == [
        ("Is anything wrong?", False),
        ("Jobs", False),
        ("Files", False),
        ("History", False),
        ("Exporter", True),
    ]


def test_no_panel_covers_another() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in (panel for panel in BOARD["panels"] if panel["type"] != "row"):
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def strings(node: Any) -> list[str]:
    """Every string below."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


LINKS = sorted({text for text in strings(BOARD["panels"]) if text.startswith("/d/")})


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_back_to_this_page_with_each_filter_once(link: str) -> None:
    assert urlsplit(link).path == f"/d/{UID}/"
    kept = re.findall(r"\$\{(\w+):queryparam\}", link)
    chosen = [name.removeprefix("var-") for name, _ in parse_qsl(urlsplit(link).query) if name.startswith("var-")]
    assert sorted([*kept, *chosen]) == sorted(FILTERS)
    assert "${__url_time_range}" in link


def test_every_filter_of_the_links_is_a_variable() -> None:
    assert set(FILTERS) <= {variable["name"] for variable in VARIABLES}
    assert BOARD["uid"] == UID


def test_a_job_id_is_never_formatted_as_a_number() -> None:
    for panel in PANELS:
        if panel["type"] == "table":
            assert panel["fieldConfig"]["defaults"]["unit"] == "string"


@pytest.mark.parametrize("panel", [p for p in PANELS if p["type"] == "table"], ids=lambda panel: panel["title"])
def test_a_table_names_hides_or_merges_away_every_field_of_its_queries(panel: Json) -> None:
    organize = next(step["options"] for step in panel["transformations"] if step["id"] == "organize")
    values = {f"Value #{target['refId']}" for target in panel["targets"]}
    assert values <= set(organize["renameByName"]) | set(organize["excludeByName"])
    titles = set(organize["renameByName"].values())
    assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} == titles


def test_every_state_has_a_colour_of_its_own_a_word_and_a_place_in_the_timeline() -> None:
    assert set(STATE_COLOURS) == set(State)
    assert len(set(STATE_COLOURS.values())) == len(State)
    assert set(TIMELINE_ORDER) == set(State)
    assert {str(state) for state in State} <= set(CONDITIONS)
    assert set(CONDITION_COLOURS) == set(CONDITIONS)


def test_the_state_filter_offers_every_word_of_the_table() -> None:
    state = next(variable for variable in VARIABLES if variable["name"] == "state")
    assert state["query"].split(",") == list(CONDITIONS)


def test_marks_stand_at_the_times_that_the_api_gives_failures_shown_completions_not() -> None:
    assert [(each["name"], each["enable"], each["useValueForTime"]) for each in ANNOTATIONS] == [
        ("Failures", True, True),
        ("Completions", False, True),
    ]
