"""A dataset of real videos: a format's listing, the manifest of a copy and the decoders, as one `Dataset`.

A format's file subclasses `PublishedSource` and gives the listing; all else is the same for every dataset.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.base.cache import cached_json, source_hash
from harness.base.errors import UserError
from harness.data.dataset import Boxes, DatasetInfo, Progress, Role, Sizes, Split, check_role, multi_hot
from harness.experiment.datasets_published import PublishedVideos

if TYPE_CHECKING:
    from harness.data.formats.base import Listed, Listing
    from harness.data.manifest import Entry, Manifest


class PublishedSource:
    """See `harness.data.dataset.Source`. A format gives `listing` and, where they are published, `sizes`."""

    of_a_copy = True
    sizes: Sizes | None = None
    """As published: `train` whole, `report`."""

    def __init__(self) -> None:
        self._checked: dict[str, Sizes] = {}  # manifest -> what that copy holds

    def listing(self, spec: Any) -> Listing:
        """The videos that the annotation files list, and where they were found. Raises UserError."""
        raise NotImplementedError

    def names(self, spec: Any) -> tuple[str, ...]:
        """Class names in label order, from the annotation files alone: no video is looked for. Raises UserError."""
        raise NotImplementedError

    def describe(self, spec: Any) -> Sizes | None:
        """Of the user's copy once `pinned` has seen that it was checked, else as published."""
        if spec.manifest in self._checked:
            return self._checked[spec.manifest]
        if self.sizes is None or not spec.held_out:
            return self.sizes
        train = self.sizes.videos["train"]
        select = round(train * spec.held_out)
        return replace(self.sizes, videos=self.sizes.videos | {"train": train - select, "select": select})

    @functools.lru_cache(maxsize=8)  # noqa: B019 - one source a name, for the life of the process
    def class_names(self, spec: Any) -> tuple[str, ...]:
        """Known from the user's annotation files alone: empty where no root says where they are. Read once."""
        try:
            return self.names(spec)
        except UserError:
            return ()

    def facet_answers(
        self, spec: Any, predicted_V: NDArray[np.int64], labels_V: NDArray[np.int64]
    ) -> Mapping[str, tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        return {}

    def is_ready(self, spec: Any, root: Path) -> bool:
        return (manifest_directory(spec, root) / "manifest.parquet").is_file()

    def pinned(self, spec: Any, root: Path) -> Any:
        """With the copy's hash, kept on disk until the manifest changes: a large copy takes seconds to open.

        As it is where nobody says where the copy lies, or where it was not checked.
        """
        try:
            if not self.is_ready(spec, root):
                return spec
        except UserError:
            return spec
        spec, asked = spec.model_copy(update={"manifest": None}), spec.manifest
        status = (manifest_directory(spec, root) / "manifest.parquet").stat()
        places = [str(place) for place in (spec.root, spec.annotations, spec.copies)]
        key = [spec.model_dump(mode="json"), places, status.st_size, status.st_mtime_ns, source_hash("data")]
        found = cached_json("checked_copies", key, lambda: self.open(spec, root).checked())
        manifest = asked or found["manifest"]
        if found["manifest"].startswith(manifest):
            self._checked[manifest] = Sizes(**found["sizes"])
        return spec.model_copy(update={"manifest": manifest})

    def prepare(
        self, spec: Any, root: Path, *, workers: int | None = None, progress: Progress | None = None
    ) -> DatasetInfo:
        """Look at every video that was not looked at yet (`verify_listing`)."""
        from harness.data.verify import Options, default_workers

        listing = self.listing(spec)
        options = Options(try_decord=spec.decoder != "pyav", workers=workers or default_workers())
        manifest = verify_listing(spec, root, listing, options, progress)
        return PublishedDataset(spec, listing, manifest).info

    def open(self, spec: Any, root: Path) -> PublishedDataset:
        from harness.data.manifest import Manifest

        if not self.is_ready(spec, root):
            raise UserError(
                f"dataset {spec.name!r}: its videos were not checked yet; run `harness data verify` first"
            )
        return PublishedDataset(spec, self.listing(spec), Manifest.load(manifest_directory(spec, root)))


def manifest_directory(spec: PublishedVideos, data_root: Path) -> Path:
    """Where the manifest of this copy lies; copies are told apart by where they are."""
    from harness.data.formats.base import need_root

    places = f"{need_root(spec).resolve()}\n{spec.copies.resolve() if spec.copies else ''}"
    return data_root / "manifests" / f"{spec.name}-{hashlib.sha256(places.encode()).hexdigest()[:12]}"


def namer(spec: PublishedVideos) -> Callable[[Path], str]:
    """A function from a video's path to its path below the copies or the root, as the manifest knows it. By text:
    a quarter of a million paths are named whenever a dataset is opened."""
    from harness.data.formats.base import need_root

    places = [("", f"{need_root(spec)}{os.sep}")]
    if spec.copies is not None:
        places.insert(0, ("copies:", f"{spec.copies}{os.sep}"))

    def name_of(path: Path) -> str:
        text = str(path)
        for prefix, folder in places:
            if text.startswith(folder):
                return prefix + text[len(folder) :].replace(os.sep, "/")
        return text  # a list may name a file elsewhere

    return name_of


def verify_listing(
    spec: PublishedVideos, data_root: Path, listing: Listing, options: Any, progress: Progress | None = None
) -> Manifest:
    """Look at every video of the listing that was found; returns the saved manifest."""
    from harness.data.manifest import Manifest
    from harness.data.verify import Task, verify

    manifest = Manifest.load(manifest_directory(spec, data_root))
    name_of = namer(spec)
    tasks = {name_of(v.path): Task(v.video_id, v.path, name_of(v.path)) for v in listing.videos if v.path}
    verify(manifest, list(tasks.values()), options, progress)
    return manifest


@dataclass(frozen=True)
class VideoSample:
    """One video of a published dataset (`harness.data.dataset.Sample`): its file is opened by `read`, then closed."""

    video_id: str
    labels: tuple[int, ...]
    path: Path
    decoder: str
    frame_count: int
    rate: float
    native_wh: tuple[int, int]
    short_side: int | None
    boxes: Boxes | None = None

    def frames(self) -> int:
        return self.frame_count

    def fps(self) -> float:
        return self.rate

    def size_wh(self) -> tuple[int, int]:
        """What `read` gives."""
        from harness.data.decode.base import resized_wh

        return resized_wh(self.native_wh, self.short_side)

    def read(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See `Sample.read`. (F, H, W, 3)."""
        from harness.data.decode import open_video

        reader = open_video(self.path, self.decoder)
        try:
            return reader.read(indices, self.short_side)
        finally:
            reader.close()


@dataclass(frozen=True)
class _Opener:
    """Gives video i of a role; travels to the loader's workers."""

    spec: PublishedVideos
    videos: tuple[tuple[Listed, Entry], ...]

    def __call__(self, i: int) -> VideoSample:
        listed, entry = self.videos[i]
        assert listed.path is not None
        return VideoSample(
            video_id=listed.video_id,
            labels=listed.labels,
            path=listed.path,
            decoder=entry.decoder_for(self.spec.decoder),
            frame_count=entry.frames,
            rate=entry.fps or self.spec.folder_fps or 0.0,
            native_wh=(entry.width, entry.height),
            short_side=self.spec.short_side,
        )


class PublishedDataset:
    """See `harness.data.dataset.Dataset`.

    A listed video that is missing or broken is left out of its role and named in `info.excluded`; no other takes
    its place, in training or in testing.
    """

    def __init__(self, spec: PublishedVideos, listing: Listing, manifest: Manifest) -> None:
        self.spec, self.listing = spec, listing
        self._by_role: dict[Role, list[tuple[Listed, Entry]]] = {role: [] for role in _roles(spec)}
        excluded: dict[Role, dict[str, str]] = {role: {} for role in self._by_role}
        name_of = namer(spec)
        for role, video in assign_roles(spec, listing):
            entry = manifest.entries.get(name_of(video.path)) if video.path else None
            reason = _why_not(video, entry)
            if reason or entry is None:
                excluded[role][video.video_id] = reason
            else:
                self._by_role[role].append((video, entry))
        self.info = self._info(excluded)

    def split(self, role: Role) -> Split:
        """The videos of one role, in the order of the lists. Raises UserError where none of them can be read: a number
        over no video would be none."""
        import pandas as pd

        videos = self._by_role[check_role(role, self.info)]
        if not videos:
            lost = len(self.info.excluded.get(role, {}))
            remedy = (
                "`held_out: 0` does without"
                if role == "select" and not lost
                else "see `harness data describe`"
            )
            raise UserError(
                f"dataset {self.spec.name!r}: no video plays {role} ({self.info.splits[role]}), {lost} are missing or "
                f"broken; {remedy}"
            )
        table = pd.DataFrame(
            {
                "video_id": [v.video_id for v, _ in videos],
                "label": np.array([v.labels[0] for v, _ in videos], np.int64),
                "frames": np.array([e.frames for _, e in videos], np.int64),
            }
        )
        several = (
            multi_hot([v.labels for v, _ in videos], self.info.num_classes) if self.info.multi_label else None
        )
        return Split(self.info, role, table, _Opener(self.spec, tuple(videos)), several)

    def checked(self) -> dict[str, Any]:
        """The hash, and the fields of `Sizes`; frames, rate and size in pixels are the middle video's."""
        entries = [entry for videos in self._by_role.values() for _, entry in videos]
        middle = {
            name: float(np.median([getattr(entry, name) for entry in entries])) if entries else 0.0
            for name in ("frames", "fps", "width", "height")
        }
        sizes = {
            "videos": self.info.counts,
            "num_classes": self.info.num_classes,
            "frames": middle["frames"],
            "fps": middle["fps"],
            "size_wh": [int(middle["width"]), int(middle["height"])],
        }
        return {"manifest": self.info.manifest_hash, "sizes": sizes}

    def facet_metrics(self, scores_VK: NDArray[np.floating], role: Role) -> dict[str, float]:
        """Published datasets have no facets."""
        return {}

    def _info(self, excluded: dict[Role, dict[str, str]]) -> DatasetInfo:
        listing, spec = self.listing, self.spec
        manifest_hash = self._hash()
        if spec.manifest is not None and not manifest_hash.startswith(spec.manifest):
            raise UserError(
                f"dataset {spec.name!r}: the profile asks for the copy {spec.manifest}, this one is "
                f"{manifest_hash[:12]} (videos, lists or decoders differ); `harness data verify` says what is missing"
            )
        return DatasetInfo(
            name=spec.name,
            manifest_hash=manifest_hash,
            class_names=listing.class_names,
            splits=_published_names(spec, listing),
            counts={role: len(videos) for role, videos in self._by_role.items()},
            excluded={role: own for role, own in excluded.items() if own},
            metrics=listing.metrics,
            multi_label=listing.multi_label,
            flip=listing.flip,
            label_swaps=listing.label_swaps,
            chance=1 / len(listing.class_names),
            facts=self._facts(),
            directory=spec.root,
        )

    def _hash(self) -> str:
        from harness.data.manifest import content_hash

        pairs = [(role, v, e) for role, videos in self._by_role.items() for v, e in videos]
        labels = sorted((role, video.video_id, video.labels) for role, video, _ in pairs)
        chosen = {"folder_fps": self.spec.folder_fps, "short_side": self.spec.short_side}
        more = [labels, self.listing.class_names, chosen]
        return content_hash((entry for _, _, entry in pairs), self.spec.decoder, more)

    def _facts(self) -> dict[str, str | int | float]:
        entries = [entry for videos in self._by_role.values() for _, entry in videos]
        by_decord = sum(entry.decoder_for(self.spec.decoder) == "decord" for entry in entries)
        return {
            "listed": len(self.listing.videos),
            "found": len(self.listing.videos) - len(self.listing.missing()),
            "readable": len(entries),
            "shorter than their index": sum(entry.status == "short" for entry in entries),
            "read by decord": by_decord,
            "bytes": sum(entry.bytes for entry in entries if entry.decoder != "frames"),
        }


def _why_not(video: Listed, entry: Entry | None) -> str:
    """Why a listed video is left out; empty where it is not."""
    if video.path is None:
        return "not found"
    if entry is None:
        return "not checked: run `harness data verify`"
    return f"broken: {entry.reason}" if entry.status == "broken" else ""


def _roles(spec: PublishedVideos) -> tuple[Role, ...]:
    return ("train", "select", "report") if spec.held_out else ("train", "report")


def _published_names(spec: PublishedVideos, listing: Listing) -> dict[Role, str]:
    """What plays each role, in words. The published test of the papers is their validation split."""
    train, report = listing.published["train"], listing.published["report"]
    if not spec.held_out:
        return {"train": train, "report": report}
    return {"train": f"{train} less select", "select": f"{spec.held_out:.3g} of {train}", "report": report}


def assign_roles(spec: PublishedVideos, listing: Listing) -> list[tuple[Role, Listed]]:
    """Each listed video with its role. Of every class's listed training videos, the share `held_out` with the
    smallest hash of (seed, id) plays `select`, at least one where there are two: a video that is missing does not
    move the others. A video with several labels counts for its first."""
    by_class: dict[int, list[Listed]] = {}
    for video in listing.videos:
        if video.split == "train":
            by_class.setdefault(video.labels[0], []).append(video)
    chosen: set[str] = set()
    if spec.held_out:
        for own in by_class.values():
            ranked = sorted(
                own, key=lambda v: hashlib.sha256(f"{spec.held_out_seed}:{v.video_id}".encode()).digest()
            )
            count = min(len(own) - 1, max(1, round(spec.held_out * len(own))))
            chosen.update(video.video_id for video in ranked[:count])
    return [
        ("report" if v.split == "report" else "select" if v.video_id in chosen else "train", v)
        for v in listing.videos
    ]
