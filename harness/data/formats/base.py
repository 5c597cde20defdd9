"""What a format yields (`Listing`), and how it reads annotation files and finds videos, written once for all."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.base.errors import UserError, near_match
from harness.base.files import expanded
from harness.data.dataset import Flip
from harness.experiment.datasets_published import PublishedVideos

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".wmv", ".mpg", ".mpeg", ".ts", ".3gp")
"""Of video files; where a video lies there twice, the earlier suffix wins."""

_KINDS = {suffix: kind for kind, suffix in enumerate(SUFFIXES)}


@dataclass(frozen=True)
class Listed:
    """One video of the lists. path: None where it was not found. split: `train` or `report`."""

    video_id: str
    path: Path | None
    labels: tuple[int, ...]
    split: str


@dataclass(frozen=True)
class Listing:
    """The videos of a dataset as its annotation files list them, and where they were found.

    published: `train` and `report` -> the published split's name.
    aside: videos of the lists that cannot be used, with the reason. notes: what a reader should know.
    """

    class_names: tuple[str, ...]
    videos: tuple[Listed, ...]
    published: dict[str, str]
    metrics: tuple[str, ...] = ("top1", "top5")
    multi_label: bool = False
    flip: Flip = "yes"
    label_swaps: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()

    def missing(self) -> tuple[Listed, ...]:
        """What is listed but was not found."""
        return tuple(video for video in self.videos if video.path is None)


def need_root(spec: PublishedVideos) -> Path:
    """The folder of the videos. Raises UserError where the profile names none, or where it or `copies` is not there."""
    variable = f"HARNESS_{spec.name.upper()}"
    root = spec.root or (expanded(os.environ[variable]) if os.environ.get(variable) else None)
    if root is None:
        raise UserError(
            f"dataset {spec.name!r}: say where its videos lie, by `root:` in the profile or ${variable}"
        )
    if not root.is_dir():
        where = "`root:` in the profile" if spec.root else f"${variable}"
        raise UserError(f"dataset {spec.name!r}: {where} is {root}, and that is no folder")
    if spec.copies is not None and not spec.copies.is_dir():  # the root's files would be read unnoticed
        raise UserError(
            f"dataset {spec.name!r}: `copies:` in the profile is {spec.copies}, and that is no folder; "
            "`harness data verify --reencode-to` makes it, from a profile without `copies`"
        )
    return root


def find_annotation(spec: PublishedVideos, names: Sequence[str]) -> Path:
    """The first of these files in `annotations`, else in the root or its `annotations` folder."""
    root = need_root(spec)
    folders = (
        [spec.annotations] if spec.annotations else [root, root / "annotations", root.parent / "annotations"]
    )
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    raise UserError(
        f"dataset {spec.name!r}: no {' or '.join(names)} in {', '.join(map(str, folders))}; "
        "`annotations:` in the profile names another folder"
    )


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of the lines that hold something; a byte order mark and CR LF are no text."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if text := line.rstrip("\r\n"):
                    yield number, text
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line, in the file's order. Raises UserError for a name that stands twice, or for none."""
    lines = [(text.strip(), f"{path}:{number}") for number, text in read_lines(path)]
    refuse_twice(lines)
    if not lines:
        raise UserError(f"{path}: no class is named")
    return tuple(name for name, _ in lines)


def read_csv(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> value) of a csv file with a header. Raises UserError where a needed column is not."""
    lines = read_lines(path)
    rows = csv.reader((text for _, text in lines), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        for name in needed:
            if name not in header:
                raise UserError(
                    f"{path}:1: no column {name!r}{near_match(name, header)}; it has {', '.join(header) or 'no header'}"
                )
        for values in rows:
            if len(values) != len(header):
                raise UserError(f"{path}:{rows.line_num}: {len(values)} fields, the header has {len(header)}")
            yield rows.line_num, dict(zip(header, values, strict=True))
    except csv.Error as error:  # a quote that is not closed takes the next lines with it
        raise UserError(f"{path}:{rows.line_num}: {error}") from None


def refuse_twice(listed: Iterable[tuple[str, str]]) -> None:
    """Raise UserError for a video (its id, its file and line) that the lists of a dataset name a second time: it would
    count twice, or be trained on and reported."""
    seen: dict[str, str] = {}
    for video_id, where in listed:
        if video_id in seen:
            raise UserError(f"{where}: {video_id} already stands in {seen[video_id]}; remove one of the two")
        seen[video_id] = where


def class_index(names: Iterable[str]) -> dict[str, int]:
    """Class name -> its place in this order."""
    return {name: label for label, name in enumerate(names)}


def label_of(name: str, index: Mapping[str, int], where: str) -> int:
    """The label of a class name. Raises UserError, with the near match, for one that there is not."""
    if name not in index:
        raise UserError(f"{where}: unknown class {name!r}{near_match(name, index)}")
    return index[name]


Key = Callable[[str], Iterable[str]]
"""A file's or folder's name without suffix -> the keys under which it may be looked up."""


class Found:
    """Videos below a folder by key: files by their name, folders of frames by theirs. Links are followed.

    Of two videos with one key, re-encoded copies win over replacements (a folder whose name begins with
    `replacement`), those over the rest, then the suffix decides, then the path.
    """

    def __init__(self, spec: PublishedVideos, keys: Key, wanted: Iterable[str]) -> None:
        self.root = need_root(spec)
        self._keys, self._wanted = keys, set(wanted)
        self._best: dict[str, tuple[int, int, int, str]] = {}
        if spec.copies is not None:
            self._walk(spec.copies, 0, set())
        self._walk(self.root, 2, set())

    def path(self, *keys: str) -> Path | None:
        """Where the video lies under the first of these keys that is known, or None."""
        return next((Path(self._best[key][-1]) for key in keys if key in self._best), None)

    def _walk(self, folder: Path, rank: int, above: set[tuple[int, int]]) -> None:
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:  # a link to a folder above
                return
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"{folder}: {error.strerror}") from None
        for entry in entries:
            if entry.name.startswith("."):  # `._NAME.mp4` is a Mac's litter
                continue
            if entry.is_dir():
                if not self._add(entry.name, entry.path, len(SUFFIXES), rank):
                    below = min(rank, 1) if entry.name.startswith("replacement") else rank
                    self._walk(Path(entry.path), below, above | {here})
                continue
            stem, dot, suffix = entry.name.rpartition(".")
            if stem and (kind := _KINDS.get(dot + suffix.lower())) is not None:
                self._add(stem, entry.path, kind, rank)

    def _add(self, name: str, path: str, kind: int, rank: int) -> bool:
        """Note a video under its wanted keys; False where nobody wants it."""
        wanted = [key for key in self._keys(name) if key in self._wanted]
        order = (rank, kind, path.count(os.sep), path)
        for key in wanted:
            self._best[key] = min(order, self._best.get(key, order))
        return bool(wanted)
