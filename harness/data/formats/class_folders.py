"""A folder a split, in it a folder a class, in it videos or folders of frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.base.errors import UserError, near_match
from harness.data.formats.base import SUFFIXES, Listed, Listing, class_index, label_of, need_root, read_names
from harness.data.published import PublishedSource
from harness.data.registry import register_dataset
from harness.experiment.datasets_published import ClassFolders


@register_dataset("class_folders")
class ClassFoldersSource(PublishedSource):
    """See `harness.data.dataset.Source`."""

    sizes = None

    def names(self, spec: ClassFolders) -> tuple[str, ...]:
        root = need_root(spec)
        if spec.classes is not None:
            return read_names(spec.classes if spec.classes.is_absolute() else root / spec.classes)
        train = _split_folder(root, spec.train_folder)
        names = tuple(sorted(folder.name for folder in _visible(train) if folder.is_dir()))
        if not names:
            raise UserError(f"{train}: no folder of a class lies in it")
        return names

    def listing(self, spec: ClassFolders) -> Listing:
        root = need_root(spec)
        folders = {
            "train": _split_folder(root, spec.train_folder),
            "report": _split_folder(root, spec.report_folder),
        }
        names = self.names(spec)
        return Listing(
            class_names=names,
            videos=tuple(v for split, folder in folders.items() for v in _videos(spec, folder, split, names)),
            published={"train": spec.train_folder, "report": spec.report_folder},
            flip=spec.flip,
        )


def _split_folder(root: Path, name: str) -> Path:
    if not (root / name).is_dir():
        there = [entry.name for entry in root.iterdir() if entry.is_dir()]
        raise UserError(f"{root}: no folder {name!r}{near_match(name, there)}")
    return root / name


def plain(name: str) -> str:
    """A class name as folders write it: spaces as `_`, without brackets, apostrophes and quotes."""
    return "".join(c for c in name.replace(" ", "_") if c not in "()'\"")


def _videos(spec: ClassFolders, folder: Path, split: str, names: tuple[str, ...]) -> Iterator[Listed]:
    index = class_index(names)
    by_plain = {plain(name): name for name in names}
    for class_folder in _visible(folder):
        if not class_folder.is_dir():
            continue
        name = class_folder.name
        label = label_of(by_plain.get(plain(name), name), index, str(class_folder))
        for video in _visible(class_folder):
            if video.is_dir() or video.suffix.lower() in SUFFIXES:
                yield Listed(f"{folder.name}/{name}/{video.name}", _copy(spec, video), (label,), split)


def _copy(spec: ClassFolders, video: Path) -> Path:
    copy = spec.copies / video.relative_to(need_root(spec)) if spec.copies else video
    return copy if copy.exists() else video


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
