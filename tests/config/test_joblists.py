"""Files of job_lists, whole and broken."""

import os
from pathlib import Path

import pytest

from tests.config.place import Place, ids, listing


def test_lists_are_matched_by_pattern_and_read_in_the_order_of_their_names(place: Place) -> None:
    place.write("jobs.d/b.yaml", '["3", "1"]')
    place.write("jobs.d/a.yaml", '- "1"\n- 2024-01-01\n- job_c\n- no\n')
    place.write("jobs.d/.c.yaml.tmp", "half")
    place.write("jobs.d/notes.txt", "no list")
    assert ids(listing(place, "jobs.d/*.yaml").load()) == ("1", "2024-01-01", "job_c", "no", "3")


def test_ids_that_are_configured_already_are_not_listed_again(place: Place) -> None:
    place.write("list", '["1", "2"]')
    assert ids(listing(place, "list", "lis*", jobs=("2",)).load()) == ("1",)


def test_a_directory_with_special_characters_in_its_name_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "a[b]*").mkdir()
    place = Place(tmp_path / "a[b]*")
    place.write("list", '["1"]')
    assert ids(listing(place, "l*").load()) == ("1",)


@pytest.mark.parametrize("pattern", ["nothing/*.yaml", "nothing.yaml"])
def test_a_pattern_without_a_match_is_no_error(place: Place, pattern: str) -> None:
    loaded = listing(place, pattern).load()
    assert (ids(loaded), loaded.list_problems) == ((), ())


BAD_LISTS = {
    "": "is empty; for no jobs write []",
    "# none\n": "is empty; for no jobs write []",
    '- "1"\n- "2': "is not valid YAML",
    "- '1'\n- *canary": "must be a plain YAML list of job ids; there is something else on line 2",
    "job: '1'": "must be a plain YAML list of job ids; there is something else on line 1",
    "canary": "must be a plain YAML list of job ids; there is something else on line 1",
    "- ['1']": "must be a plain YAML list of job ids; there is something else on line 1",
    "- '1'\n---\n- '2'": "must be one YAML list, and no second document",
    "- '1'\n- 448761313698322011": "cannot be used: the job id on line 2 is a YAML number; put it in quotes",
    "- '1'\n- ": "cannot be used: the job id on line 2 must be a job id in quotes",
    "- true": "cannot be used: the job id on line 1 must be a job id in quotes",
    "- 'a b'": "cannot be used: the job id on line 1 is not a job id",
    "- !canary '1'": "cannot be used: the job id on line 1 must be a job id in quotes",
    "- '\x07'": "is not valid YAML: it holds a control character",
}


@pytest.mark.parametrize("text", BAD_LISTS)
def test_a_list_that_cannot_be_understood_watches_nothing_at_first_and_says_so(place: Place, text: str) -> None:
    path = place.write("list", text)
    loaded = listing(place, "list").load()
    assert ids(loaded) == ()
    (problem,) = loaded.list_problems
    assert problem.startswith(f"job list {path}: {BAD_LISTS[text]}")
    assert problem.endswith("; its jobs are not watched")
    assert "canary" not in problem


@pytest.mark.parametrize("text", BAD_LISTS)
def test_a_list_that_cannot_be_understood_keeps_what_it_last_held(place: Place, text: str) -> None:
    place.write("list", '["1", "2"]')
    loader = listing(place, "list")
    loader.load()
    place.write("list", text)
    for _ in range(2):
        loaded = loader.load()
        assert ids(loaded) == ("1", "2")
        (problem,) = loaded.list_problems
        assert problem.endswith("; the jobs that it held before stay watched")
    place.write("list", '["3"]')
    loaded = loader.load()
    assert (ids(loaded), loaded.list_problems) == (("3",), ())


@pytest.mark.parametrize("kind", ["directory", "huge", "binary", "fifo"])
def test_what_is_no_readable_file_is_a_problem_of_that_list_alone(place: Place, kind: str) -> None:
    place.write("a.list", '["1"]')
    path = place.directory / "b.list"
    match kind:
        case "directory":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(16 * 1024 * 1024 + 1)
        case "binary":
            path.write_bytes(b"\xff\xfe\x00")
        case "fifo":
            os.mkfifo(path)
    loaded = listing(place, "*.list").load()
    assert ids(loaded) == ("1",)
    (problem,) = loaded.list_problems
    assert str(path) in problem


def test_a_list_that_vanishes_drops_its_ids(place: Place) -> None:
    path = place.write("list", '["1"]')
    loader = listing(place, "list")
    assert ids(loader.load()) == ("1",)
    path.unlink()
    loaded = loader.load()
    assert (ids(loaded), loaded.list_problems) == ((), ())


def test_a_dangling_link_in_the_place_of_a_list_holds_nothing(place: Place) -> None:
    (place.directory / "list").symlink_to("nowhere")
    loaded = listing(place, "lis*").load()
    assert (ids(loaded), loaded.list_problems) == ((), ())


def test_a_list_of_fifty_thousand_ids_is_read_in_its_order(place: Place) -> None:
    wanted = tuple(str(448761313698322011 + number) for number in range(50_000))
    place.write("list", "".join(f'- "{job_id}"\n' for job_id in wanted))
    assert ids(listing(place, "list").load()) == wanted
