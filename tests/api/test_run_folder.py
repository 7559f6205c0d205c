from collections.abc import Callable
from pathlib import Path

import pytest

from raynas.api.run_folder import RunFolder, read_json, write_json
from raynas.errors import OptionError, RunDamagedError, RunExistsError, RunNotFoundError
from raynas.storage import Storage


def test_a_name_that_exists_is_refused_unless_resumed(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "net").add_result({"a": 1})
    with pytest.raises(RunExistsError, match="net is there already"):
        RunFolder.create(tmp_path, "net")
    assert RunFolder.create(tmp_path, "net", resume=True).read_result() == {"a": 1}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up", "/tmp"])
def test_a_name_is_a_plain_folder_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="plain folder name"):
        RunFolder.create(tmp_path, name)


def test_commands_number_their_runs(tmp_path: Path) -> None:
    names = [RunFolder.numbered(tmp_path / "runs", "digits").path.name for _ in range(3)]
    assert names == ["digits-001", "digits-002", "digits-003"]


def test_the_uri_of_a_folder_is_the_folder(tmp_path: Path) -> None:
    place = f"file://{tmp_path}/runs"
    assert RunFolder.numbered(place, "digits").path == tmp_path / "runs" / "digits-001"
    assert RunFolder.open(f"{place}/digits-001").path == RunFolder.create(place, "digits-001").path


def test_no_such_run_lists_those_beside_it(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "digits-001")
    with pytest.raises(RunNotFoundError, match="digits-001"):
        RunFolder.open(tmp_path / "digits-01")


def test_results_are_merged(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.add_result({"seconds": {"space": 1.0}, "a": 1})
    folder.add_result({"seconds": {"search": 2.0}, "a": 2})
    assert folder.read_result() == {"seconds": {"space": 1.0, "search": 2.0}, "a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]  # nothing is left beside it


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RunDamagedError, match=r"result\.json"):
        read_json(path)


def test_json_is_kept_in_unicode(tmp_path: Path) -> None:
    write_json({"ключ": "值"}, tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == {"ключ": "值"}


def test_folders_of_one_name_have_registries_of_their_own(tmp_path: Path) -> None:
    one, other = (RunFolder(tmp_path / place / "mine").registry for place in ("here", "there"))
    assert one != other
    assert one.startswith("mine-")
    assert RunFolder(tmp_path / "here" / ".." / "here" / "mine").registry == one


def test_a_run_in_an_object_store_is_made_found_and_kept(s3: Callable[[], str]) -> None:
    place = s3()
    with pytest.raises(RunNotFoundError, match="there is nothing"):
        RunFolder.open(Storage(place).folder("net").place)
    folder = RunFolder.create(place, "net")
    assert folder.shown == place.partition("?")[0] + "/net"
    with folder.kept():
        folder.add_result({"a": 1})
    with pytest.raises(RunExistsError, match="net is there already"):
        RunFolder.create(place, "net")
    for again in (RunFolder.create(place, "net", resume=True), RunFolder.open(Storage(place).folder("net").place)):
        assert again.read_result() == {"a": 1}
        assert again.path != folder.path
        assert again.registry == folder.registry
    with pytest.raises(RunNotFoundError, match="there is net"):
        RunFolder.open(Storage(place).folder("other").place)


def test_runs_in_an_object_store_are_numbered(s3: Callable[[], str]) -> None:
    place = s3()
    folders = [RunFolder.numbered(place, "digits") for _ in range(3)]
    assert [folder.path.name for folder in folders] == ["digits-001", "digits-002", "digits-003"]


def test_what_lies_in_a_copy_is_kept_where_the_run_is(s3: Callable[[], str]) -> None:
    place = s3()
    folder = RunFolder.create(place, "net")
    again, inner = RunFolder.create(folder.path.parent, "net", resume=True), RunFolder.create(folder.path, "retrain")
    assert again.storage == folder.storage == Storage(place).folder("net")
    assert inner.storage == Storage(place).folder("net/retrain")
    with again.kept(), inner.kept():  # which is the business of whoever made the copy
        inner.add_result({"a": 1})
    assert inner.storage.names() == []


def test_one_file_is_brought_there_without_driving_the_run(s3: Callable[[], str]) -> None:
    place = s3()
    with RunFolder.create(place, "net").kept():
        shown = RunFolder.open(Storage(place).folder("net").place)
        (shown.path / "report.html").write_text("page")
        shown.keep(shown.path / "report.html")
    assert Storage(place).folder("net").names() == ["report.html"]


@pytest.mark.parametrize("place", ["s3://bucket-that-is-not-there/runs", "nothing://here"])
def test_storage_that_cannot_be_opened_is_refused(s3: Callable[[], str], place: str) -> None:
    query = s3().partition("?")[2] if place.startswith("s3") else ""
    with pytest.raises(OptionError, match=r"storage .* cannot be (opened|written)"):
        RunFolder.create(f"{place}?{query}", "net")
    with pytest.raises((OptionError, RunNotFoundError)):
        RunFolder.open(f"{place}/net?{query}")
