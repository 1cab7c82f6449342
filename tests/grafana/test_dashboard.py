"""The committed dashboards: what their code makes, whole, readable by everybody, with links to each other."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from exporter.model import ErrorClass, State
from grafana.dashboard import COMMAND, FILES, render
from grafana.look import BAD, ERROR_WORDS, NOT_SCRAPED, STATE_COLOURS, WORD_COLOURS
from grafana.queries import STATE_CODES, TROUBLES
from grafana.shared import ALERTS
from grafana.tables import IMPORT_JOB, IMPORTS, NO_ROW
from tests.grafana.reading import BOARDS, PANELS, QUERIES, Board, Json, Query, title

TABLES = [(board, panel) for board, panel in PANELS if panel["type"] == "table"]
STATS = [(board, panel) for board, panel in PANELS if panel["type"] == "stat"]
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=title)
each_table = pytest.mark.parametrize(("board", "panel"), TABLES, ids=title)


@pytest.mark.parametrize("uid", FILES)
def test_the_committed_dashboard_is_what_its_code_makes(uid: str) -> None:
    assert FILES[uid].read_text(encoding="utf-8") == render()[uid], f"run: {COMMAND}"


@each_board
def test_the_dashboard_can_be_imported_by_a_grafana_without_further_plugins(board: Board) -> None:
    assert board.json["schemaVersion"] == 41
    assert board.json["uid"] == board.uid
    assert {panel["type"] for panel in board.panels} <= {"stat", "table", "timeseries", "state-timeline"}


@each_board
def test_ids_of_panels_and_rows_are_unique(board: Board) -> None:
    ids = [each["id"] for each in [*board.panels, *board.rows]]
    assert len(set(ids)) == len(ids)
    assert all(ids)


@each_board
def test_titles_of_panels_are_unique(board: Board) -> None:
    assert len({panel["title"] for panel in board.panels}) == len(board.panels)


def test_figures_and_the_two_tables_are_open_and_the_rest_is_collapsed() -> None:
    board = BOARDS[IMPORTS]
    assert [(row["title"], bool(row["collapsed"])) for row in board.rows] == [
        ("Now", False),
        ("Throughput", True),
        ("Files", True),
        ("History", True),
        ("Exporter", True),
    ]
    opened = [panel for panel in board.json["panels"] if panel["type"] != "row"]
    assert {panel["type"] for panel in opened[:-2]} == {"stat", "table"}
    assert [panel["title"] for panel in opened[-2:]] == ["Needs attention", "Running"]


def cells(panel: Json) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


@each_board
def test_no_panel_covers_another_or_leaves_the_grid(board: Board) -> None:
    groups = [board.json["panels"], *(row["panels"] for row in board.rows if row["collapsed"])]
    for group in groups:
        taken: set[tuple[int, int]] = set()
        for panel in group:
            assert not cells(panel) & taken, panel["title"]
            assert all(0 <= x < 24 for x, _ in cells(panel)), panel["title"]
            taken |= cells(panel)


@pytest.mark.parametrize("query", QUERIES, ids=title)
def test_a_query_is_short_enough_to_be_read(query: Query) -> None:
    assert len(query.expr) <= 1500


def strings(node: Any) -> list[str]:
    """Every string below."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


LINKS = sorted({text for board in BOARDS.values() for text in strings(board.json) if text.startswith("/d/")})


@pytest.mark.parametrize("link", LINKS)
def test_a_link_leads_to_a_bundled_dashboard_and_sets_variables_that_it_has_each_once(link: str) -> None:
    target = BOARDS[urlsplit(link).path.removeprefix("/d/").removesuffix("/")]
    kept = re.findall(r"\$\{(\w+):queryparam\}", link)
    chosen = [name.removeprefix("var-") for name, _ in parse_qsl(urlsplit(link).query) if name.startswith("var-")]
    assert len({*kept, *chosen}) == len([*kept, *chosen])
    assert {*kept, *chosen} <= {variable["name"] for variable in target.variables}
    assert "datasource" in kept


def test_a_job_leads_to_its_dashboard_with_the_variables_that_alerts_set() -> None:
    links = [link for link in LINKS if link.startswith(f"/d/{IMPORT_JOB}/")]
    assert links
    assert all("var-cluster_id=" in link and "var-job_id=" in link for link in links)


def test_an_alert_that_leads_to_one_job_selects_exactly_that_job() -> None:
    chosen = {variable["name"]: variable for variable in BOARDS[IMPORT_JOB].variables}
    for name in ("cluster_id", "job_id"):
        assert not chosen[name].get("multi")
        assert not chosen[name].get("includeAll")
    assert chosen["job_id"]["allowCustomValue"], "a job that is no longer exposed can still be opened"


def test_filters_stand_in_the_order_of_their_use() -> None:
    shown = [variable["label"] for variable in BOARDS[IMPORTS].variables if not variable.get("hide")]
    assert shown == ["Data source", "Cluster", "Collection", "State", "Import job", "Job", "Instance"]


@each_table
def test_a_job_id_is_never_formatted_as_a_number(board: Board, panel: Json) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"] == "string"


@each_table
def test_a_table_names_hides_or_merges_away_every_field_of_its_queries(board: Board, panel: Json) -> None:
    organize = next(step["options"] for step in panel["transformations"] if step["id"] == "organize")
    values = {f"Value #{target['refId']}" for target in panel["targets"]}
    assert values <= set(organize["renameByName"]) | set(organize["excludeByName"])
    titles = set(organize["renameByName"].values())
    assert {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]} == titles


@each_table
def test_a_table_without_rows_has_one_by_which_it_is_merged_and_filters_it_out(board: Board, panel: Json) -> None:
    """Otherwise Grafana does not find the field that it filters by, and shows what the columns of values bring."""
    (step,) = (step["options"] for step in panel["transformations"] if step["id"] == "filterByValue")
    known = step["filters"][0]["fieldName"]
    assert {"fieldName": known, "config": {"id": "notEqual", "options": {"value": NO_ROW}}} in step["filters"]
    assert any(f'"{known}", "{NO_ROW}"' in target["expr"] for target in panel["targets"])


def widths(panel: Json) -> dict[str, int]:
    return {
        override["matcher"]["options"]: setting["value"]
        for override in panel["fieldConfig"]["overrides"]
        for setting in override["properties"]
        if setting["id"] == "custom.width"
    }


LAPTOP = 1366
MARGIN = 40
"""Pixels beside the grid and inside a panel, at most."""


@each_table
def test_a_table_fits_a_laptop_and_leaves_room_for_the_column_that_stretches(board: Board, panel: Json) -> None:
    columns = len(panel["fieldConfig"]["overrides"])
    fixed = widths(panel)
    assert len(fixed) == columns - 1
    room = (LAPTOP - MARGIN) * panel["gridPos"]["w"] / 24
    least = 300 if panel["title"] in {"Needs attention", "What is wrong"} else 110
    assert sum(fixed.values()) + least <= room


def overrides(panel: Json, column: str) -> dict[str, Any]:
    (found,) = (each for each in panel["fieldConfig"]["overrides"] if each["matcher"]["options"] == column)
    return {setting["id"]: setting["value"] for setting in found["properties"]}


@pytest.mark.parametrize("name", ["Needs attention", "What is wrong"])
def test_the_reason_is_wrapped_and_no_class_of_error_is_shown_as_such(name: str) -> None:
    (panel,) = (panel for _, panel in TABLES if panel["title"] == name)
    reason = overrides(panel, "Reason")
    assert reason["custom.cellOptions"]["wrapText"]
    (mapping,) = reason["mappings"]
    assert {str(each) for each in ErrorClass} <= set(mapping["options"])
    assert {str(each) for each in State if each is not State.COMPLETED} <= set(mapping["options"])


def test_every_class_of_error_has_words_of_its_own() -> None:
    assert {str(each) for each in ErrorClass} | {"vanished"} == set(ERROR_WORDS)
    assert len(set(ERROR_WORDS.values())) == len(ERROR_WORDS)


@pytest.mark.parametrize("name", ["Needs attention", "What is wrong"])
def test_a_state_leads_to_its_section_of_the_runbooks(name: str) -> None:
    (panel,) = (panel for _, panel in TABLES if panel["title"] == name)
    state = overrides(panel, "State")
    assert state["links"][0]["url"].endswith("/docs/runbooks.md#${__value.raw}")
    (mapping,) = state["mappings"]
    assert {each.section for each in TROUBLES} < set(mapping["options"])


@pytest.mark.parametrize(("board", "panel"), STATS, ids=title)
def test_no_figure_is_calm_where_nothing_is_scraped(board: Board, panel: Json) -> None:
    (missing,) = (each for each in panel["fieldConfig"]["defaults"]["mappings"] if each["type"] == "special")
    assert missing["options"]["match"] == "null"
    result = missing["options"]["result"]
    if board.uid == IMPORTS or panel["title"] == "State":
        assert (result["text"], result["color"]) == (NOT_SCRAPED, BAD)
    else:
        assert result["text"] == "\N{EN DASH}", "the figure State says it"


def luminance(red: float, green: float, blue: float) -> float:
    """Relative luminance as WCAG 2 defines it, of sRGB from 0 to 255."""
    linear = [c / 255 / 12.92 if c <= 0.04045 * 255 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast_of_text_on(colour: str) -> float:
    """With the text that Grafana chooses: dark where the ground's brightness is above 180, else light."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 180
    text = luminance(32, 34, 38) if bright else luminance(247, 248, 250)
    darker, lighter = sorted((text, luminance(red, green, blue)))
    return (lighter + 0.05) / (darker + 0.05)


def grounds(node: Any) -> set[str]:
    """Colours on which a dashboard writes: of value mappings and thresholds, `transparent` is the panel's own."""
    if isinstance(node, dict):
        own = {str(value) for key, value in node.items() if key == "color" and isinstance(value, str)}
        return own.union(*(grounds(value) for value in node.values()))
    return set().union(*(grounds(each) for each in node)) if isinstance(node, list) else set()


@each_board
def test_text_on_every_ground_has_a_contrast_of_at_least_four_and_a_half(board: Board) -> None:
    written = [panel for panel in board.panels if panel["type"] != "timeseries"]
    colours = grounds(written) - {"transparent"}
    assert colours
    assert {colour: contrast for colour in colours if (contrast := contrast_of_text_on(colour)) < 4.5} == {}


MACHADO = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
"""Linear RGB as people with each kind of sight see it (Machado, Oliveira and Fernandes 2009)."""


def lab(colour: str, sight: str) -> tuple[float, float, float]:
    """CIE L*a*b* as seen with this sight."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    rows = MACHADO[sight]
    red, green, blue = (min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear, strict=True)))) for row in rows)
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("sight", MACHADO)
def test_the_colours_of_two_states_differ_for_everybody(sight: str) -> None:
    seen = {state: lab(colour, sight) for state, colour in STATE_COLOURS.items()}
    for one in State:
        for other in State:
            if one is not other:
                distance = sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5
                assert distance >= 25, (one, other)


def test_every_state_and_every_trouble_has_a_word_and_a_colour() -> None:
    assert set(STATE_COLOURS) == set(State) == set(STATE_CODES)
    assert len(set(STATE_COLOURS.values())) == len(State)
    assert {each.word for each in TROUBLES} <= set(WORD_COLOURS)
    assert {each.section for each in TROUBLES} - {"what-has-no-alert"} <= {alert.lower() for alert in ALERTS}


@pytest.mark.parametrize(("uid", "completions"), [(IMPORTS, False), (IMPORT_JOB, True)])
def test_marks_stand_at_the_times_of_the_ends_among_many_imports_only_failures(uid: str, completions: bool) -> None:
    assert [(each["name"], each["enable"], each["useValueForTime"]) for each in BOARDS[uid].annotations] == [
        ("Failures", True, True),
        ("Completions", completions, True),
    ]
