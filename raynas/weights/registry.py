"""``Registry``: versioned weights, stored candidate by candidate. Where the bytes lie is up to its store."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from raynas.errors import RaynasError, RegistryError, UnknownVersionError, UploadLostError
from raynas.nn import choice_places, generate_search_space, transplant
from raynas.space import Architecture
from raynas.weights.layout import Layout
from raynas.weights.lease import Lease
from raynas.weights.manifest import Manifest
from raynas.weights.merging import Merge, Update
from raynas.weights.publishing import Changed, Publisher
from raynas.weights.store import ShardStore, Wanted
from raynas.weights.version_table import RegistryStats
from raynas.weights.views import view_tensors

MAX_ATTEMPTS = 4  # to publish while what holds the registry dies and comes back


class Registry:
    """Publishes and fetches versions of one supernet's weights.

    Args:
        name: of the registry.
        store: where the blocks lie.
        share: whether another run may have published under this name.
    """

    def __init__(self, name: str, store: ShardStore, *, share: bool = False) -> None:
        self.name, self.share = name, share
        self._store = store
        self._publisher = Publisher(store, name, share=share)
        self._background: Future[int] | None = None

    # --- publishing ------------------------------------------------------------------------------------------------

    def publish(self, model: nn.Module, *, changed: Changed | None = None) -> int:
        """Store the weights of ``model`` as a new version; only blocks that changed are stored again.

        Args:
            model: the supernet.
            changed: what may have changed since the newest version: keys, or for each key the indices of its candidates.
                Only that is looked at, and what lies outside all choices; **what changed elsewhere is not published** before
                the next time that everything is. ``None``: everything is looked at.

        Returns:
            The version; each is larger than the one before.

        Raises:
            RegistryError: the registry holds another model (the message names the tensors that differ), or belongs to another
                run; or publishing in the background has failed before.
            NoRoomError: the store is too small; nothing was stored.
        """
        self._wait_for_background()
        for _ in range(MAX_ATTEMPTS - 1):
            publication = self._publisher.prepare(model, changed)
            try:
                return self._publisher.send(publication, publication.waves())
            except UploadLostError:  # what holds the registry has died and come back
                continue
        publication = self._publisher.prepare(model, None)
        return self._publisher.send(publication, publication.waves())

    def publish_in_background(self, model: nn.Module, *, changed: Changed | None = None) -> Future[int]:
        """``publish`` of the weights as they are now; only copying them takes the caller's time.

        One at a time: an earlier one is waited for. What goes wrong is raised by the future's ``result()``, and by the next
        ``publish`` or ``flush``. It cannot be cancelled.
        """
        self._wait_for_background()
        publication = self._publisher.prepare(model, None if self._publisher.is_first() else changed)
        waves = publication.copied_waves()
        self._background = done = Future[int]()
        done.set_running_or_notify_cancel()

        def send() -> None:
            try:
                done.set_result(self._publisher.send(publication, waves))
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=send, name="raynas-publish", daemon=True).start()
        return done

    def update(
        self,
        architecture: Architecture,
        tensors: Mapping[str, Tensor],
        base_version: int,
        *,
        merge: Merge = "overwrite",
    ) -> int:
        """Give back tensors that were trained from a version; they become part of a new one, all of them at once.

        Args:
            architecture: whose tensors they are.
            tensors: some of what ``fetch(architecture, copy=True)`` gave, or all, trained.
            base_version: the version that they were fetched from.
            merge: what becomes of a tensor in a shard that somebody else has changed since: ``"overwrite"`` takes the given
                one, ``"average"`` the mean of both, a function ``(base, current, given) -> tensor`` what it likes.

        Returns:
            The new version.

        Raises:
            UnknownVersionError: the base is not here any more; a lease would have kept it.
            RegistryError: a tensor is not the architecture's, or two names of one tensor are given different values.
        """
        return Update(architecture, tensors, self._manifest(base_version), merge).commit(self._store, share=self.share)

    def flush(self) -> None:
        """Wait until everything that was published is stored, and is in the mirror if there is one.

        Raises:
            RegistryError: something could not be written.
        """
        self._wait_for_background()
        self._store.flush()

    # --- reading ---------------------------------------------------------------------------------------------------

    def versions(self) -> list[int]:
        """The versions that can be fetched, ascending."""
        return self._store.versions()

    def newest(self) -> int:
        """The newest version.

        Raises:
            UnknownVersionError: nothing was published yet.
        """
        return self._manifest(None).version

    def fetch(self, architecture: Architecture | None, *, version: int | None = None, copy: bool = False) -> dict[str, Tensor]:
        """The tensors of one architecture: what it has chosen, and what lies outside all choices.

        They lie over the store's own memory, which every reader shares: **do not write to them**. Buffers are always
        private copies.

        Args:
            architecture: of the supernet's space; ``None`` for the whole supernet.
            version: the newest one if ``None``.
            copy: whether all tensors are private copies, as for training them.

        Returns:
            Tensors by the supernet's ``state_dict`` names.

        Raises:
            UnknownVersionError: there is no such version; the message lists those that are there.
            RegistryError: a shard was lost, with the machine that had it, and there is no mirror; the message names it.
        """

        def used_of(layout: Layout) -> dict[int, list[int]]:
            return layout.used_by(architecture.indices) if architecture is not None else layout.all_of_it()

        manifest = self._manifest(version, used_of)
        used = used_of(manifest.layout)
        tensors: dict[str, Tensor] = {}
        for (number, places), block in zip(used.items(), self._store.read(manifest, list(used)), strict=True):
            for place in places:
                tensors |= view_tensors(block, manifest.layout.packs[number].shards[place], copy=copy)
        return tensors

    def frozen(self, model: nn.Module, architecture: Mapping[str, Any], *, version: int | None = None) -> nn.Module:
        """The plain model of one architecture over the store's memory: nothing is copied but buffers.

        Args:
            model: the supernet's skeleton; its weights do not matter and stay as they are.
            architecture: of its space.
            version: the newest one if ``None``.
        """
        chosen = Architecture.from_dict(generate_search_space(model), architecture)
        return transplant(model, choice_places(model), chosen, self.fetch(chosen, version=version))

    def load_into(
        self,
        model: nn.Module,
        architecture: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        supernet: nn.Module | None = None,
    ) -> nn.Module:
        """Copy an architecture's weights into a model, to be trained further for example.

        Args:
            model: a supernet, fixed or not; or with ``supernet`` what ``raynas.freeze`` makes of it.
            architecture: of the supernet's space; ``None`` for the whole supernet.
            version: the newest one if ``None``.
            supernet: the skeleton of the supernet, where ``model`` is frozen: it knows which part of a sliced layer is whose.

        Returns:
            ``model``.

        Raises:
            RegistryError: the model has other tensors than the architecture; the first is named.
        """
        space = generate_search_space(supernet if supernet is not None else model)
        chosen = Architecture.from_dict(space, architecture) if architecture is not None else None
        tensors = self.fetch(chosen, version=version)
        if supernet is not None and chosen is not None:
            tensors = dict(transplant(supernet, choice_places(supernet), chosen, tensors).state_dict())
        state = model.state_dict()
        for name in [*tensors, *(state if supernet is not None else ())]:
            found, expected = (list(each[name].shape) if name in each else "missing" for each in (state, tensors))
            if found != expected:
                raise RegistryError(f"{name!r} of the model is {found}, expected {expected}")
        for name, tensor in tensors.items():
            state[name].copy_(tensor)
        return model

    def lease(self, version: int | None = None) -> Lease:
        """Keep a version while it is in use: ``with registry.lease(version) as version:``. The newest one if ``None``.

        Raises:
            UnknownVersionError: it is not there.
        """
        return Lease(self._store, self._manifest(version).version)

    def home(self) -> str | None:
        """Ray's id of the machine with most of the newest version; ``None`` without Ray, or where that is not known."""
        return self._store.home()

    def delete(self, version: int) -> None:
        """Drop a version now, from the mirror too.

        Raises:
            UnknownVersionError: it is not there.
            RegistryError: it is in use, or is the newest one.
        """
        self._store.delete(version)

    def stats(self) -> RegistryStats:
        """What the registry holds and has done."""
        return self._store.stats()

    def close(self) -> None:
        """Drop everything that the store holds; the mirror stays. A detached registry ends.

        Raises:
            RegistryError: something that was published is not in the mirror; everything is dropped nevertheless.
        """
        with ExitStack() as steps:  # each is taken, whatever becomes of the others
            steps.callback(self._store.close)
            steps.callback(self._store.flush)
            self._wait_for_background()

    def _manifest(self, version: int | None, wanted: Wanted | None = None) -> Manifest:
        try:
            return self._store.manifest(version, wanted)
        except UnknownVersionError:
            if version is not None:
                raise
            raise UnknownVersionError(
                f"registry {self.name!r} holds no weights; publish some first, with raynas.train_supernet(task, "
                f"registry={self.name!r}) or the command raynas supernet FILE"
            ) from None

    def _wait_for_background(self) -> None:
        waiting, self._background = self._background, None
        if waiting is None:
            return
        try:
            waiting.result()
        except UploadLostError:
            return  # a version less: what comes next makes up for it
        except RaynasError:
            raise
        except Exception as error:
            raise RegistryError(f"publishing in the background failed: {error}") from error
