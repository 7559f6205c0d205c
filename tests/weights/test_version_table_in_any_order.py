"""``VersionTable``: any order of publishing, leasing and deleting, against a plain dict of versions."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from raynas.errors import RegistryError
from raynas.weights import Layout, Pack, Shard, TensorEntry, VersionTable

KEEP = 2
DIGESTS = st.sampled_from("abcd")


class AnyOrder(RuleBasedStateMachine):
    """Versions with two blocks of one shard each; the handle of a block is its digest in capitals."""

    def __init__(self) -> None:
        super().__init__()
        entries = [TensorEntry(name, "float32", (16,), 0, False) for name in ("one", "other")]
        packs = tuple(Pack(64, (Shard(((entry.name, (0,)),), 0, 64, (entry,)),)) for entry in entries)
        self.layout, self.table = Layout(packs), VersionTable[str](KEEP)
        self.expected: dict[int, tuple[str, str]] = {}
        self.leases: dict[str, int] = {}
        self.last = 0
        self.waiting: list[tuple[str, set[str]]] = []

    def _drop_unused(self) -> None:
        unused = sorted(set(self.expected) - set(self.leases.values()))
        for version in unused[:-KEEP]:
            del self.expected[version]

    @rule()
    def begin(self) -> None:
        self.waiting.append(self.table.begin(self.layout, "me"))

    @precondition(lambda self: self.waiting)
    @rule(one=DIGESTS, other=DIGESTS, partly=st.booleans(), seen=st.one_of(st.none(), DIGESTS), data=st.data())
    def commit(self, one: str, other: str, partly: bool, seen: str | None, data: st.DataObject) -> None:
        upload, known = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        newest = self.expected[max(self.expected)] if self.expected else None
        partly = partly and newest is not None
        self.table.add(upload, {digest: digest.upper() for digest in {one, other} - known})
        changed = {0: (one,)} if partly else {0: (one,), 1: (other,)}
        version = self.table.commit(upload, changed, {0: seen} if seen is not None else {})
        if seen is not None and (newest is None or newest[0] != seen):
            assert version is None
            return
        self.last += 1
        assert version == self.last
        self.expected[version] = (one, newest[1] if partly and newest is not None else other)
        self._drop_unused()

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def lease(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.expected)))
        self.leases[self.table.lease(version, 1000)] = version

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(sorted(self.leases, key=lambda each: self.leases[each])))
        self.table.release(lease)
        del self.leases[lease]
        self._drop_unused()

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.expected)))
        if version in self.leases.values() or version == max(self.expected):
            with pytest.raises(RegistryError, match=r"in use|the newest one"):
                self.table.delete(version)
            return
        self.table.delete(version)
        del self.expected[version]

    @invariant()
    def versions_and_their_blocks_are_there_and_no_others(self) -> None:
        table = self.table
        assert table.versions() == sorted(self.expected)
        assert {version: table.manifest(version).blocks for version in table.versions()} == self.expected
        needed = {digest for blocks in self.expected.values() for digest in blocks}
        assert table.handles("abcd") == {digest: digest.upper() for digest in needed}
        stats = table.stats()
        assert (stats.num_blocks, stats.num_leased) == (len(needed), len(set(self.leases.values())))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=settings().max_examples // 5, stateful_step_count=20)
