"""``VersionTable``: which versions stay, whose blocks stay with them, and who may add one."""

import time
from collections.abc import Mapping

import pytest

from raynas.errors import RegistryError, UnknownVersionError
from raynas.weights import Layout, Manifest, Pack, RegistryStats, Shard, TensorEntry, VersionTable
from raynas.weights.version_table import REMEMBERED, UPLOAD_SECONDS

Table = VersionTable[str]


def layout_of(num_packs: int = 2, *, prefix: str = "op") -> Layout:
    """Blocks of one shard each, so that the digest of a block is that of its shard."""
    entries = [TensorEntry(f"{prefix}{number}", "float32", (16,), 0, False) for number in range(num_packs)]
    return Layout(tuple(Pack(64, (Shard(((entry.name, (0,)),), 0, 64, (entry,)),)) for entry in entries))


def table_of(keep: int = 3) -> Table:
    return Table(keep, "net")


def begin(table: Table) -> tuple[str, set[str]]:
    return table.begin(layout_of(), "me")


def publish(table: Table, *digests: str, seen: Mapping[int, str] | None = None) -> int | None:
    """Add a version with these blocks, whose handles are the digests in capitals."""
    upload, known = table.begin(layout_of(len(digests)), "me")
    table.add(upload, {digest: digest.upper() for digest in digests if digest not in known})
    return table.commit(upload, {number: (digest,) for number, digest in enumerate(digests)}, seen or {})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in the only element."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


# --- publishing -----------------------------------------------------------------------------------------------------


def test_versions_count_on_and_the_newest_stay() -> None:
    table = table_of(keep=3)
    assert [publish(table, each, "x") for each in "abcde"] == [1, 2, 3, 4, 5]
    assert (table.versions(), table.manifest().version, table.next_version) == ([3, 4, 5], 5, 6)
    assert table.handles("abcdex") == {digest: digest.upper() for digest in "cdex"}
    with pytest.raises(UnknownVersionError, match=r"version 2 is not in the registry; it has \[3, 4, 5\]"):
        table.manifest(2)


def test_an_empty_table_has_no_newest_version() -> None:
    with pytest.raises(UnknownVersionError, match=r"it has \[\]"):
        table_of().manifest()


def test_what_is_not_changed_is_as_in_the_newest_version() -> None:
    table = table_of()
    publish(table, "a", "x")
    upload, known = begin(table)
    assert known == {"a", "x"}
    table.add(upload, {"y": "Y"})
    assert table.commit(upload, {1: ("y",)}, {}) == 2
    assert table.manifest().digests == (("a",), ("y",))


def test_known_blocks_stay_for_an_upload_although_their_version_is_dropped() -> None:
    table = table_of(keep=1)
    publish(table, "a", "x")
    upload, known = begin(table)
    publish(table, "b", "y")
    assert (known, table.handles("ax")) == ({"a", "x"}, {})
    assert table.commit(upload, {0: ("a",), 1: ("x",)}, {}) == 3
    assert table.handles("ax") == {"a": "A", "x": "X"}


def test_a_commit_can_be_sent_again() -> None:
    table = table_of()
    upload, _ = begin(table)
    table.add(upload, {"a": "A", "x": "X"})
    changed = {0: ("a",), 1: ("x",)}
    assert [table.commit(upload, changed, {}) for _ in range(3)] == [1, 1, 1]
    assert (table.versions(), table.stats().stored) == ([1], 2)
    for _ in range(REMEMBERED):
        publish(table, "a", "x")
    with pytest.raises(RegistryError, match="does not know this upload"):
        table.commit(upload, changed, {})


def test_a_version_without_all_of_its_blocks_is_refused() -> None:
    table = table_of()
    upload, _ = begin(table)
    table.add(upload, {"a": "A"})
    with pytest.raises(RegistryError, match="without all of its blocks"):
        table.commit(upload, {0: ("a",), 1: ("x",)}, {})
    assert (table.versions(), table.handles("a")) == ([], {})


def test_a_part_of_a_version_that_is_lost_is_refused() -> None:
    table = table_of()
    upload, _ = begin(table)
    table.add(upload, {"a": "A"})
    with pytest.raises(RegistryError, match="has lost the version that this one was made from; publish all of the weights"):
        table.commit(upload, {0: ("a",)}, {})


def test_who_has_not_seen_the_newest_version_gets_none() -> None:
    table = table_of()
    assert publish(table, "a", "x", seen={0: "a"}) is None  # there is none yet
    publish(table, "a", "x")
    assert publish(table, "b", "x", seen={0: "a"}) == 2
    assert publish(table, "c", "x", seen={0: "a"}) is None
    assert publish(table, "c", "x", seen={1: "x"}) == 3
    assert publish(table, "d", "y", seen={0: "c", 1: "y"}) is None
    assert table.versions() == [1, 2, 3]


def test_an_upload_that_came_too_late_is_forgotten_and_says_so_again() -> None:
    table = table_of()
    publish(table, "a", "x")
    upload, _ = begin(table)
    publish(table, "b", "x")
    assert [table.commit(upload, {0: ("c",)}, {0: "a"}) for _ in range(2)] == [None, None]
    with pytest.raises(RegistryError, match="does not know this upload"):
        table.add(upload, {"c": "C"})


def test_an_upload_expires_when_nobody_goes_on_with_it(clock: list[float]) -> None:
    table = table_of()
    uploads = [begin(table)[0] for _ in range(2)]
    clock[0] += UPLOAD_SECONDS - 1
    table.add(uploads[0], {"a": "A"})
    clock[0] += 2
    begin(table)
    table.add(uploads[0], {"x": "X"})
    with pytest.raises(RegistryError, match=r"does not know this upload: .* took too long"):
        table.add(uploads[1], {"x": "X"})
    assert table.commit(uploads[0], {0: ("a",), 1: ("x",)}, {}) == 1


# --- who may publish ------------------------------------------------------------------------------------------------


def test_another_model_is_refused_with_what_differs() -> None:
    table = table_of()
    publish(table, "a")
    assert publish(table, "b") == 2
    with pytest.raises(RegistryError, match="'net' holds another model, publish under another name") as refused:
        table.begin(layout_of(20, prefix="other"), "me")
    lines = str(refused.value).split(": ", 1)[1].split("; ")
    assert lines[0] == "'op0' is missing, expected float32 [16]"
    assert lines[1] == "'other0' is float32 [16], expected missing"
    assert (len(lines), lines[-1]) == (11, "and 11 more")


def test_another_owner_is_refused_unless_it_shares() -> None:
    table = table_of()
    publish(table, "a", "x")
    with pytest.raises(RegistryError, match=r"'net' belongs to me; .* open it with share=True"):
        table.begin(layout_of(), "you")
    upload, _ = table.begin(layout_of(), "you", share=True)
    assert table.commit(upload, {}, {}) == 2
    assert publish(table, "b", "x") == 3  # it is still the first one's


def test_nothing_is_settled_before_a_version_is_there() -> None:
    table = table_of()
    given_up, _ = table.begin(layout_of(3), "you")
    (upload, _), (late, _) = begin(table), table.begin(layout_of(), "you")
    for each in (given_up, upload, late):
        table.add(each, {"a": "A", "x": "X", "y": "Y"})
    assert table.commit(upload, {0: ("a",), 1: ("x",)}, {}) == 1
    with pytest.raises(RegistryError, match="'net' belongs to me"):
        table.commit(late, {0: ("a",), 1: ("x",)}, {})
    with pytest.raises(RegistryError, match="'net' holds another model"):
        table.commit(given_up, {0: ("a",), 1: ("x",), 2: ("y",)}, {})
    assert (table.versions(), table.manifest().layout) == ([1], layout_of())


# --- leases ---------------------------------------------------------------------------------------------------------


def test_a_leased_version_stays_beyond_the_newest() -> None:
    table = table_of(keep=2)
    publish(table, "a", "x")
    leases = [table.lease(1, 10) for _ in range(2)]
    for each in "bcd":
        publish(table, each, "x")
    assert (table.versions(), table.stats().num_leased) == ([1, 3, 4], 1)
    table.release(leases[0])
    assert table.versions() == [1, 3, 4]
    table.release(leases[1])
    assert (table.versions(), table.handles("a")) == ([3, 4], {})
    table.release(leases[1])
    with pytest.raises(UnknownVersionError, match="version 1"):
        table.lease(1, 10)


def test_a_lease_ends_unless_it_is_renewed(clock: list[float]) -> None:
    table = table_of(keep=1)
    publish(table, "a", "x")
    leases = {1: table.lease(1, 10)}
    publish(table, "b", "x")
    leases[2] = table.lease(2, 10)
    clock[0] += 9
    table.renew(leases[2], 2, 10)
    publish(table, "c", "x")
    assert table.versions() == [1, 2, 3]
    clock[0] += 2
    publish(table, "d", "x")
    assert (table.versions(), table.stats().num_leased) == ([2, 4], 1)
    table.renew(leases[1], 1, 10)  # too late, and no error: nobody is there to tell
    assert (table.versions(), table.stats().num_leased) == ([2, 4], 1)


def test_a_lease_from_before_a_restart_goes_on(clock: list[float]) -> None:
    table = table_of(keep=1)
    table.wait_for_leases(10)
    for version in (1, 2, 3):
        table.insert(Manifest(version, layout_of(), ((f"a{version}",), ("x",))), {})
    assert table.versions() == [1, 2, 3]
    clock[0] += 9
    table.renew("lease of before", 1, 10)
    publish(table, "b", "x")
    assert table.versions() == [1, 2, 3, 4]
    publish(table, "b2", "x")
    assert table.versions() == [1, 2, 3, 5], "of those that were added since, all leases are known"
    assert 0 < table.num_bytes(here=True) < table.num_bytes()
    clock[0] += 2
    publish(table, "c", "x")
    assert table.versions() == [1, 6]


def test_a_version_in_use_is_not_deleted() -> None:
    table = table_of()
    for each in "ab":
        publish(table, each, "x")
    lease = table.lease(1, 10)
    with pytest.raises(RegistryError, match="version 1 is in use"):
        table.delete(1)
    table.release(lease)
    table.delete(1)
    assert (table.versions(), table.handles("abx")) == ([2], {"b": "B", "x": "X"})
    with pytest.raises(UnknownVersionError, match=r"version 1 .* it has \[2\]"):
        table.delete(1)
    with pytest.raises(RegistryError, match="version 2 is the newest one"):
        table.delete(2)  # its number would be used again after a restart


# --- blocks that were not there at first, counts --------------------------------------------------------------------


def test_blocks_can_be_brought_later() -> None:
    table = table_of()
    table.insert(Manifest(7, layout_of(), (("a",), ("x",))), {"a": "A"})
    assert (table.handles("ax"), table.next_version) == ({"a": "A"}, 8)
    table.replace("x", "X")
    table.replace("a", "A again")
    table.replace("z", "Z")  # no version needs it
    assert table.handles("axz") == {"a": "A again", "x": "X"}
    assert publish(table, "b", "x") == 8


def test_what_was_stored_and_reused_is_counted() -> None:
    table = table_of()
    publish(table, "a", "x")
    publish(table, "b", "x")
    table.count_clashes(2)
    table.count_clashes(1)
    assert table.stats() == RegistryStats(
        num_bytes=3 * 64, num_blocks=3, num_shards=3, num_versions=2, stored=3, reused=1, clashes=3
    )
