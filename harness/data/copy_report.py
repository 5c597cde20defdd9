"""What a user's copy of a published dataset holds: listed, found, readable, by split and class (`harness data`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.errors import UserError
from harness.data.dataset import ROLES, Progress
from harness.experiment.datasets_published import PublishedVideos

if TYPE_CHECKING:
    from harness.data.formats.base import Listing
    from harness.data.manifest import Entry, Manifest
    from harness.data.published import PublishedSource

_Entries = dict[tuple[str, str], "Entry | None"]
"""(split, video id) -> what is known of it."""


@dataclass(frozen=True)
class SplitCount:
    """Videos of one published split. official: as published, 0 where nobody published it. readable and short: None
    until they were checked."""

    split: str
    official: int
    listed: int
    found: int
    readable: int | None
    short: int | None


@dataclass(frozen=True)
class ClassCount:
    """Videos of one class: (listed, found) in training and in the reported split."""

    label: int
    name: str
    train: tuple[int, int]
    report: tuple[int, int]


@dataclass(frozen=True)
class CopyReport:
    """All that `harness data describe` and `verify` say of a copy.

    missing: "split/id" of what is listed and was not found. broken, short: "split/id" -> reason. decoders: how many
    videos each of them reads. manifest: the hash that enters a trial's identity, empty until all was checked.
    """

    dataset: str
    root: str
    splits: tuple[SplitCount, ...]
    classes: tuple[ClassCount, ...]
    official_classes: int | None
    roles: dict[str, int]
    missing: tuple[str, ...]
    broken: dict[str, str]
    short: dict[str, str]
    decoders: dict[str, int]
    manifest: str
    notes: tuple[str, ...]


def describe_dataset(spec: PublishedVideos, data_root: Path) -> CopyReport:
    """Lists and folders read, no video opened; with what an earlier `verify` found. Raises UserError."""
    from harness.data.manifest import Manifest
    from harness.data.published import manifest_directory

    return _report(spec, _source(spec).listing(spec), Manifest.load(manifest_directory(spec, data_root)))


def verify_dataset(
    spec: PublishedVideos,
    data_root: Path,
    *,
    workers: int | None = None,
    every_frame: bool = False,
    seconds: float = 120,
    retry_broken: bool = False,
    reencode_to: Path | None = None,
    progress: Progress | None = None,
) -> CopyReport:
    """Every found video opened and decoded; broken ones are in the report, not an exception.

    reencode_to: broken, short and slow files that can be decoded in part are written anew there (`reencode.py`); a
    profile that names this folder as `copies` reads them in place of the root's. Raises UserError.
    """
    from harness.data.published import verify_listing
    from harness.data.verify import Options, default_workers

    listing = _source(spec).listing(spec)
    options = Options(
        spec.decoder != "pyav", every_frame, seconds, workers or default_workers(), retry_broken=retry_broken
    )
    manifest = verify_listing(spec, data_root, listing, options, progress)
    if reencode_to is not None:
        from harness.data.reencode import reencode_all

        reencode_all(spec, listing, manifest, reencode_to, workers=options.workers, progress=progress)
    return _report(spec, listing, manifest)


def _source(spec: PublishedVideos) -> PublishedSource:
    from harness.data.published import PublishedSource
    from harness.data.registry import source_of

    source = source_of(spec)  # type: ignore[arg-type]  # every one of them is in the union
    if not isinstance(source, PublishedSource):
        raise UserError(f"dataset {spec.name!r} is made by the harness: there is no copy of it to describe")
    return source


def _report(spec: PublishedVideos, listing: Listing, manifest: Manifest) -> CopyReport:
    from harness.data.formats.base import need_root
    from harness.data.published import PublishedDataset, assign_roles, namer

    name_of, sizes = namer(spec), _source(spec).sizes
    entries: _Entries = {
        (v.split, v.video_id): manifest.entries.get(name_of(v.path)) if v.path else None
        for v in listing.videos
    }
    checked = all(entries[v.split, v.video_id] is not None for v in listing.videos if v.path)
    info = (
        PublishedDataset(spec.model_copy(update={"manifest": None}), listing, manifest).info
        if checked
        else None
    )
    known = {
        f"{listing.published[split]}/{video}": entry
        for (split, video), entry in entries.items()
        if entry is not None
    }
    decoders = [entry.decoder_for(spec.decoder) for entry in known.values() if entry.status != "broken"]
    roles = [role for role, _ in assign_roles(spec, listing)]
    return CopyReport(
        dataset=spec.name,
        root=str(need_root(spec)),
        splits=tuple(
            _split_count(listing, split, sizes.videos[split] if sizes else 0, entries)
            for split in ("train", "report")
        ),
        classes=tuple(_class_counts(listing)),
        official_classes=sizes.num_classes if sizes else None,
        roles={role: info.counts[role] if info else roles.count(role) for role in ROLES if role in roles},
        missing=tuple(f"{listing.published[v.split]}/{v.video_id}" for v in listing.missing()),
        broken={name: entry.reason for name, entry in known.items() if entry.status == "broken"},
        short={name: entry.reason for name, entry in known.items() if entry.status == "short"},
        decoders={name: decoders.count(name) for name in sorted(set(decoders))},
        manifest=info.manifest_hash if info else "",
        notes=listing.notes,
    )


def _split_count(listing: Listing, split: str, official: int, entries: _Entries) -> SplitCount:
    own = [v for v in listing.videos if v.split == split]
    found = [entries[split, v.video_id] for v in own if v.path is not None]
    known = [entry for entry in found if entry is not None]
    checked = len(known) == len(found)
    return SplitCount(
        split=listing.published[split],
        official=official,
        listed=len(own),
        found=len(found),
        readable=sum(entry.status != "broken" for entry in known) if checked else None,
        short=sum(entry.status == "short" for entry in known) if checked else None,
    )


def _class_counts(listing: Listing) -> Iterator[ClassCount]:
    counts = {label: {"train": [0, 0], "report": [0, 0]} for label in range(len(listing.class_names))}
    for video in listing.videos:
        for label in video.labels:
            counts[label][video.split][0] += 1
            counts[label][video.split][1] += video.path is not None
    for label, name in enumerate(listing.class_names):
        train, report = counts[label]["train"], counts[label]["report"]
        yield ClassCount(label, name, (train[0], train[1]), (report[0], report[1]))
