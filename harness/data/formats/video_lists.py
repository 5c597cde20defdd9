"""List files as mmaction2, PySlowFast, TSM and pytorchvideo write them, read from the right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.base.errors import UserError
from harness.data.formats.base import Listed, Listing, need_root, read_lines, read_names, refuse_twice
from harness.data.published import PublishedSource
from harness.data.registry import register_dataset
from harness.experiment.datasets_published import VideoLists


@dataclass(frozen=True)
class _Layout:
    """How many numbers stand behind the path, the label included; delimiter None is any white space."""

    numbers: int
    delimiter: str | None = None


_LAYOUTS = {
    "mmaction2": _Layout(1, " "),
    "mmaction2_rawframes": _Layout(2, " "),
    "mmaction2_rawframes_offset": _Layout(3, " "),
    "pyslowfast": _Layout(1, " "),
    "tsm": _Layout(2, " "),
    "pytorchvideo": _Layout(1),
}


@register_dataset("video_lists")
class VideoListsSource(PublishedSource):
    """See `harness.data.dataset.Source`."""

    sizes = None

    def names(self, spec: VideoLists) -> tuple[str, ...]:
        if isinstance(spec.classes, int):
            return tuple(f"class {label}" for label in range(spec.classes))
        return read_names(_place(spec, "classes"))

    def listing(self, spec: VideoLists) -> Listing:
        names = self.names(spec)
        lists = {"train": _place(spec, "train_list"), "report": _place(spec, "report_list")}
        folders = [folder for folder in (spec.copies, need_root(spec)) if folder is not None]
        videos = tuple(
            v for split, path in lists.items() for v in _videos(spec, path, folders, split, len(names))
        )
        both = len(videos) - len({video.video_id for video in videos})
        return Listing(
            class_names=names,
            videos=videos,
            published={split: path.name for split, path in lists.items()},
            metrics=("map", "top1", "top5") if spec.multi_label else ("top1", "top5"),
            multi_label=spec.multi_label,
            flip=spec.flip,
            notes=(f"{both} videos stand in both lists: what is trained on is reported",) if both else (),
        )


def _place(spec: VideoLists, key: Literal["train_list", "report_list", "classes"]) -> Path:
    """The file that a key names. Records hold none of them, and a profile may have forgotten one."""
    path = getattr(spec, key)
    if path is None:
        raise UserError(f"dataset 'video_lists': name the file by `{key}:` in the profile")
    return path if path.is_absolute() else (spec.annotations or need_root(spec)) / path


def _videos(
    spec: VideoLists, path: Path, folders: Sequence[Path], split: str, classes: int
) -> Iterator[Listed]:
    lines = [(f"{path}:{line}", text) for line, text in read_lines(path)]
    read = [(where, *_read(spec, text, classes, where)) for where, text in lines]
    refuse_twice((name, where) for where, name, _ in read)
    yield from (Listed(name, _find(folders, name), labels, split) for _, name, labels in read)


def _read(spec: VideoLists, text: str, classes: int, where: str) -> tuple[str, tuple[int, ...]]:
    """The path that a line names, and its labels. Raises UserError."""
    layout = _LAYOUTS[spec.layout]
    name, numbers = _split(text, spec.delimiter or layout.delimiter, layout.numbers, spec.multi_label, where)
    if layout.numbers == 3 and numbers[0] != 0:
        raise UserError(f"{where}: begins at frame {numbers[0]}; a folder is read from its first picture on")
    labels = tuple(dict.fromkeys(numbers[layout.numbers - 1 :]))
    for label in labels:
        if not 0 <= label < classes:
            raise UserError(f"{where}: label {label}, but there are {classes} classes (0 to {classes - 1})")
    return name, labels


def _split(text: str, delimiter: str | None, count: int, several: bool, where: str) -> tuple[str, list[int]]:
    """The path, which may hold the delimiter, and the numbers behind it; `several`: as many as there are."""
    fields = text.strip().split(delimiter)
    behind = 0
    while several and behind < len(fields) - 1 and fields[-1 - behind].lstrip("-").isdigit():
        behind += 1
    parts = text.strip().rsplit(delimiter, max(behind, count))
    numbers = parts[1:]
    if (
        len(numbers) < count
        or not parts[0].strip()
        or not all(n.strip().lstrip("-").isdigit() for n in numbers)
    ):
        raise UserError(
            f"{where}: expected a path and {'labels' if several else f'{count} number(s)'}, got {text!r}"
        )
    return parts[0].strip(), [int(n) for n in numbers]


def _find(folders: Sequence[Path], name: str) -> Path | None:
    """Relative to the re-encoded copies, else to the root; an absolute path as it is."""
    return next((folder / name for folder in folders if (folder / name).exists()), None)
