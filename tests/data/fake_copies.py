"""Small copies of the published datasets in their official layouts, with every defect that users meet.

Each maker writes annotation files and videos below `root` and returns a `Copy`: what is listed, what should be found
broken and why. The clips show their frame number (`clips.py`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tests.data.clips import draw, write_clip

KINETICS_CLASSES = (
    "abseiling",
    "bee keeping",  # eleven characters: as long as a YouTube id
    "massaging person's head",
    "skiing (not slalom or crosscountry)",
    "skiing crosscountry",
)
FRAMES = 24


@dataclass
class Copy:
    """A fake copy. broken: video id -> words of the reason. missing: ids that are listed and not there."""

    root: Path
    classes: tuple[str, ...]
    labels: dict[str, int] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


def youtube_id(number: int, dash: bool = False) -> str:
    """Eleven characters; some ids begin with a dash and some hold an underscore."""
    return f"{'-' if dash else 'A'}b_{number:06d}-Z"


def plain(name: str) -> str:
    """The folder form of TSM and MVFNet: no spaces, brackets, quotes or apostrophes."""
    return "".join(c for c in name.replace(" ", "_") if c not in "()'\"")


FOLDERS = {
    "flat": lambda name: "",
    "crawler": lambda name: name,
    "mmaction2": lambda name: name.replace(" ", "_"),
    "tsm": plain,
}


def kinetics(
    root: Path,
    layout: str = "crawler",
    train: int = 4,
    val: int = 2,
    columns: str = "activitynet",
    defects: bool = True,
    classes: Sequence[str] = KINETICS_CLASSES,
) -> Copy:
    """Kinetics-400: csv files (columns: activitynet, cvdf, floats) and videos in one of the folder forms."""
    copy = Copy(root, tuple(sorted(classes)))
    rows: dict[str, list[tuple[str, str, int]]] = {"train": [], "val": []}
    number = 0
    for label, name in enumerate(copy.classes):
        for split, count in (("train", train), ("val", val)):
            for _ in range(count):
                video = youtube_id(number, dash=number % 5 == 2)
                rows[split].append((name, video, number))
                copy.labels[video] = label
                folder = root / split / FOLDERS[layout](name)
                write_clip(folder / f"{video}_{number:06d}_{number + 10:06d}.mp4", shown=range(FRAMES), gop=8)
                number += 1
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    for split, own in rows.items():
        (root / "annotations" / _CSV[columns][0].format(split)).write_text(_kinetics_csv(own, split, columns))
    if defects:
        _spoil_kinetics(copy, root, [video for _, video, _ in rows["train"]], [v for _, v, _ in rows["val"]])
    return copy


_CSV = {
    "activitynet": ("kinetics-400_{}.csv", "label,youtube_id,time_start,time_end,split,is_cc"),
    "cvdf": ("{}.csv", "label,youtube_id,time_start,time_end,split"),
    "floats": ("kinetics_{}.csv", "youtube_id,label,time_start,time_end,split"),
}


def _kinetics_csv(rows: list[tuple[str, str, int]], split: str, columns: str) -> str:
    lines = [_CSV[columns][1]]
    for name, video, start in rows:
        label = f'"{name}"' if " " in name else name
        if columns == "floats":
            lines.append(f"{video},{label},{start}.0,{start + 10}.0,{split}")
        else:
            lines.append(
                f"{label},{video},{start},{start + 10},{split}" + (",0" if columns == "activitynet" else "")
            )
    return "\n".join(lines) + "\n"


def _spoil_kinetics(copy: Copy, root: Path, train: list[str], val: list[str]) -> None:
    """The defects, one file each. Training: moov lost, empty, html, wrong clip of the id, litter, a replaced one."""
    at = {path.stem[:11]: path for path in sorted(root.rglob("*.mp4"))}
    broken = at[train[0]]
    broken.write_bytes(broken.read_bytes()[:700])
    copy.broken[train[0]] = "Invalid data"
    at[train[1]].write_bytes(b"")
    copy.broken[train[1]] = ""
    at[train[4]].write_bytes(b"<!DOCTYPE html><html>404</html>" * 40)
    copy.broken[train[4]] = "Invalid data"
    at[train[5]].unlink()
    copy.missing.add(train[5])
    other = at[train[6]]  # another clip of the same video, as Kinetics-700 has them, is not this one
    other.rename(other.with_name(f"{train[6]}_000777_000787.mp4"))
    copy.missing.add(train[6])
    at[train[8]].with_name(f"._{at[train[8]].name}").write_bytes(b"\x00\x05\x16\x07")
    replaced = at[train[9]]
    replacement = root / "replacement" / "replacement_for_corrupted_k400" / replaced.name
    replacement.parent.mkdir(parents=True)
    replaced.rename(replacement)
    replaced.write_bytes(b"")
    at[val[0]].write_bytes(b"\x00" * 3000)
    copy.broken[val[0]] = "Invalid data"
    at[val[1]].unlink()
    write_clip(at[val[1]].with_suffix(".webm"), "libvpx", shown=range(FRAMES))


def mini_kinetics(root: Path, **options: object) -> Copy:
    """Mini-Kinetics-200: the id lists beside a Kinetics copy that has one class more. Blocks are not in order."""
    whole = kinetics(root, **options)  # type: ignore[arg-type]
    kept = [name for name in whole.classes if name != "abseiling"]
    copy = Copy(root, tuple(kept))
    copy.broken = dict(whole.broken)
    by_class = {
        name: [v for v, label in whole.labels.items() if whole.classes[label] == name] for name in kept
    }
    val_count = int(options.get("val", 2))  # type: ignore[call-overload]
    for split, order in (("train", kept), ("val", kept[::-1])):
        lines = []
        for name in order:
            own = by_class[name]
            lines += own[-val_count:] if split == "val" else own[:-val_count]
        (root / f"{split}_ytid_list.txt").write_text("\n".join(lines) + "\n")
        copy.labels |= {video: kept.index(whole.classes[whole.labels[video]]) for video in lines}
    copy.missing = whole.missing & copy.labels.keys()
    copy.broken = {video: why for video, why in copy.broken.items() if video in copy.labels}
    return copy


SOMETHING_CLASSES = (
    "Holding something",
    "Turning the camera left while filming something",
    "Pushing something from left to right",
    "Turning the camera right while filming something",
    "Pushing something from right to left",
    "Folding something",
)


def frame_folder(folder: Path, template: str = "%05d.jpg", frames: int = 12) -> Path:
    """A folder of pictures that show their number, from 1 on."""
    folder.mkdir(parents=True)
    for i in range(frames):
        Image.fromarray(draw(i)).save(folder / (template % (i + 1)), quality=95)
    return folder


def something_v1(root: Path, train: int = 3, val: int = 2, defects: bool = True) -> Copy:
    """Something-Something V1: semicolon csv, labels in the file's own order, folders of frames."""
    copy = Copy(root, tuple(sorted(SOMETHING_CLASSES)))
    stem = root / "something-something-v1-"
    root.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}labels.csv").write_text("\n".join(SOMETHING_CLASSES) + "\n")
    number, ids = 1, {"train": [], "validation": []}  # type: ignore[var-annotated]
    for split, count in (("train", train), ("validation", val)):
        lines = []
        for name in SOMETHING_CLASSES:
            for _ in range(count):
                video = str(number)
                lines.append(f"{video};{name}")
                ids[split].append(video)
                copy.labels[video] = copy.classes.index(name)
                frame_folder(root / "20bn-something-something-v1" / video, frames=8 + number % 3)
                number += 1
        Path(f"{stem}{split}.csv").write_text("\n".join(lines) + "\n")
    if defects:
        frames = root / "20bn-something-something-v1"
        (frames / ids["train"][0] / "00004.jpg").unlink()
        copy.broken[ids["train"][0]] = "picture 4 is missing"
        picture = frames / ids["train"][1] / "00002.jpg"
        picture.write_bytes(picture.read_bytes()[:300])
        copy.broken[ids["train"][1]] = ""
        (frames / ids["train"][2] / "Thumbs.db").write_bytes(b"x")
        for picture in (frames / ids["validation"][0]).iterdir():
            picture.unlink()
        copy.broken[ids["validation"][0]] = "no numbered"
        for picture in (frames / ids["validation"][1]).iterdir():
            picture.unlink()
        (frames / ids["validation"][1]).rmdir()
        copy.missing.add(ids["validation"][1])
    return copy


def something_v2(root: Path, train: int = 3, val: int = 2) -> Copy:
    """Something-Something V2: JSON with templates, webm videos."""
    classes = tuple(sorted(SOMETHING_CLASSES))
    copy = Copy(root, classes)
    root.mkdir(parents=True, exist_ok=True)
    stem = f"{root}/something-something-v2-"
    Path(f"{stem}labels.json").write_text(json.dumps({name: str(i) for i, name in enumerate(classes)}))
    number = 1
    for split, count in (("train", train), ("validation", val)):
        rows = []
        for name in SOMETHING_CLASSES:
            for _ in range(count):
                template = name.replace("something", "[something]")
                rows.append({"id": str(number), "label": name.replace("something", "a cup"),
                             "template": template, "placeholders": ["a cup"]})  # fmt: skip
                copy.labels[str(number)] = classes.index(name)
                write_clip(
                    root / "20bn-something-something-v2" / f"{number}.webm", "libvpx-vp9", shown=range(10)
                )
                number += 1
        Path(f"{stem}{split}.json").write_text(json.dumps(rows))
    return copy


ACTIVITY_CLASSES = ("BMX", "Baking cookies", "Archery")


def activitynet(root: Path, train: int = 3, val: int = 2, defects: bool = True) -> Copy:
    """ActivityNet 1.3: the JSON with its taxonomy, `v_ID` videos in three containers, some with two labels."""
    classes = tuple(sorted(ACTIVITY_CLASSES))
    copy = Copy(root, classes)
    taxonomy = [{"nodeId": 0, "nodeName": "Root", "parentId": None, "parentName": None},
                {"nodeId": 1, "nodeName": "Sports", "parentId": 0, "parentName": "Root"}]  # fmt: skip
    for i, name in enumerate(ACTIVITY_CLASSES):
        parent = "Root" if name == "Baking cookies" else "Sports"
        taxonomy.append({"nodeId": 2 + i, "nodeName": name, "parentId": 0, "parentName": parent})
    database: dict[str, dict] = {}
    ids: dict[str, list[str]] = {"training": [], "validation": []}
    number = 0
    for split, count in (("training", train), ("validation", val)):
        for i, name in enumerate(ACTIVITY_CLASSES):
            for k in range(count):
                video = youtube_id(number, dash=number % 4 == 1)
                labels = [name, name] + ([ACTIVITY_CLASSES[(i + 1) % 3]] if k == 1 else [])
                database[video] = {
                    "duration": 2.0, "subset": split, "resolution": "96x64", "url": f"https://youtu.be/{video}",
                    "annotations": [{"label": own, "segment": [0.0, 1.0]} for own in labels],
                }  # fmt: skip
                ids[split].append(video)
                copy.labels[video] = classes.index(name)
                ext, codec = (("mp4", "libx264"), ("mkv", "libx264"), ("webm", "libvpx-vp9"))[number % 3]
                write_clip(root / "videos" / f"v_{video}.{ext}", codec, shown=range(30))
                number += 1
    database["Test0000000"] = {
        "duration": 1.0,
        "subset": "testing",
        "resolution": "1x1",
        "url": "",
        "annotations": [],
    }
    content = {"version": "VERSION 1.3", "taxonomy": taxonomy, "database": database}
    (root / "activity_net.v1-3.min.json").write_text(json.dumps(content))
    if defects:
        lost = next((root / "videos").glob(f"v_{ids['training'][0]}.*"))
        lost.unlink()
        copy.missing.add(ids["training"][0])
        bad = next((root / "videos").glob(f"v_{ids['validation'][0]}.*"))
        bad.write_bytes(b"")
        copy.broken[ids["validation"][0]] = ""
    return copy
