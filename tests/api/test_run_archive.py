"""A run folder as lines and back, and what a sender must not be able to do."""

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from raynas.api.run_archive import END, LINE, pack, unpack
from raynas.errors import RunDamagedError, RunExistsError, RunNotFoundError


def lines_of(content: bytes) -> list[str]:
    """As ``pack`` would give these bytes."""
    return [LINE + base64.b64encode(content).decode(), END + hashlib.sha256(content).hexdigest()]


def archive_of(*members: tuple[tarfile.TarInfo, bytes]) -> list[str]:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return lines_of(stream.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "sent" / "task-001"
    for name, content in {
        "result.json": b"{}",
        "journal/000001.jsonl": bytes(range(256)) * 1_000,
        "retrain/best.json": "größer".encode(),
        "weights/versions/000001.json": b"large",
        "checkpoints/supernet/whole.json": b"large",
        ".ray/theirs": b"large",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "outside").symlink_to("/etc/passwd")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_packed_comes_out(run: Path, tmp_path: Path) -> None:
    sent = files_of(run)
    del sent["outside"]  # a link
    noise = ["INFO the job starts", "", "raynas: something"]
    everything = unpack([*noise, *pack(run, everything=True), *noise], tmp_path / "all")
    assert files_of(everything) == sent
    small = unpack(pack(run), tmp_path / "small")
    assert set(files_of(small)) == {"result.json", "journal/000001.jsonl", "retrain/best.json"}


@pytest.mark.parametrize(
    "wrong",
    [
        member("../escaped"),
        member("journal/../../escaped"),
        member("/tmp/escaped"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "result.json"),
        member("device", tarfile.CHRTYPE),
        member("folder", tarfile.DIRTYPE),
        member("windows\\..\\..\\escaped"),
    ],
    ids=lambda info: info.name,
)
def test_what_leads_out_is_refused_before_anything_is_written(wrong: tarfile.TarInfo, tmp_path: Path) -> None:
    content = b"" if wrong.type != tarfile.REGTYPE else b"x"
    lines = archive_of((member("result.json"), b"{}"), (wrong, content))
    with pytest.raises(RunDamagedError, match="no plain file inside the run; refused"):
        unpack(lines, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert not (tmp_path / "escaped").exists()


def test_what_is_not_whole_is_refused(run: Path, tmp_path: Path) -> None:
    lines = list(pack(run))
    assert len(lines) >= 2
    for broken in (lines[:-1], lines[1:], [lines[0][:-9] + "!", *lines[1:]], lines_of(b"no archive")):
        with pytest.raises(RunDamagedError):
            unpack(broken, tmp_path / "target")
    with pytest.raises(RunNotFoundError, match="holds no run"):
        unpack(["raynas: there is no run"], tmp_path / "target")
    assert not (tmp_path / "target").exists()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").touch()
    with pytest.raises(RunExistsError):
        unpack(lines, tmp_path / "target")
