"""Specifications of the published datasets, and of a user's own in the layouts that others use.

`root`, `annotations` and `copies` say where a copy lies on this machine. They are left out of `model_dump`, and so
of a trial's identity and record: what decides the numbers is the copy's content, known by `manifest`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

Decoder = Literal["auto", "pyav", "decord"]


def _expanded(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) else value


Folder = Annotated[Path, BeforeValidator(_expanded)]


class PublishedVideos(BaseModel):
    """What every dataset of real videos declares."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    name: str
    root: Folder | None = Field(default=None, exclude=True)
    """The folder that holds the videos or folders of frames, at any depth. Not part of an identity."""
    annotations: Folder | None = Field(default=None, exclude=True)
    """The folder of the official annotation files; default: the root, or `annotations` in it."""
    copies: Folder | None = Field(default=None, exclude=True)
    """A folder of re-encoded videos that win over the root's (`harness data verify --reencode-to`)."""
    manifest: str | None = Field(default=None, pattern=r"^[0-9a-f]{12,64}$")
    """The hash that `harness data verify` gave the copy, or its beginning: another copy is then refused."""
    decoder: Decoder = "auto"
    """auto: decord for files on which `verify` found it right, else PyAV; or one of them for every file."""
    folder_fps: float | None = Field(default=None, gt=0, le=240)
    """Frames a second of folders of frames, which do not say it themselves (DSANet's are 30, Something's 12)."""
    short_side: PositiveInt | None = None
    """Videos are reduced or enlarged to so many pixels on the shorter side when they are read; default: as they are."""
    held_out: float = Field(default=0.05, ge=0, lt=1)
    """Share of every class's training videos that plays `select`; 0: there is no such role."""
    held_out_seed: int = Field(default=0, ge=0)
    """Which videos these are: a hash of it and of the video's id, so losses elsewhere do not move the choice."""


class Kinetics400(PublishedVideos):
    """Kinetics-400 (Kay et al. 2017): the official csv files, videos flat or in class folders, or frame folders."""

    title: ClassVar[str] = "Kinetics-400"
    name: Literal["kinetics_400"] = "kinetics_400"


class MiniKinetics200(PublishedVideos):
    """200 classes of Kinetics-400 (Xie et al. 2018): two lists of ids, joined with the Kinetics csv files."""

    title: ClassVar[str] = "Mini-Kinetics-200"
    name: Literal["mini_kinetics_200"] = "mini_kinetics_200"
    label_order: Literal["sorted", "v4d"] = "sorted"
    """sorted: the class names; v4d: the order of V4D's release, which its checkpoints need."""


class ActivityNet13(PublishedVideos):
    """ActivityNet 1.3 (Heilbron et al. 2015): several labels a video."""

    title: ClassVar[str] = "ActivityNet 1.3"
    name: Literal["activitynet_1_3"] = "activitynet_1_3"


class SomethingV1(PublishedVideos):
    """Something-Something V1 (Goyal et al. 2017): folders of frames. A mirror turns some classes into one another."""

    title: ClassVar[str] = "Something-Something V1"
    name: Literal["something_v1"] = "something_v1"


class SomethingV2(PublishedVideos):
    """Something-Something V2: JSON files, videos or folders of frames. A mirror does as in V1."""

    title: ClassVar[str] = "Something-Something V2"
    name: Literal["something_v2"] = "something_v2"


class VideoLists(PublishedVideos):
    """A user's own dataset by the list files of another project."""

    title: ClassVar[str] = "listed videos"
    name: Literal["video_lists"] = "video_lists"
    train_list: Folder | None = Field(default=None, exclude=True)
    """The list of training videos; a relative path counts from `annotations`, else from the root. Needed, but a record
    holds no place."""
    report_list: Folder | None = Field(default=None, exclude=True)
    """The list of the videos that tables report."""
    layout: Literal[
        "mmaction2", "mmaction2_rawframes", "mmaction2_rawframes_offset", "pyslowfast", "tsm", "pytorchvideo"
    ]
    """Whose list it is. mmaction2, pyslowfast, pytorchvideo: `path label`; the others: `folder frames label`."""
    delimiter: str | None = Field(default=None, min_length=1)
    """What stands between the fields; default: the layout's own (white space)."""
    classes: Annotated[Folder | PositiveInt | None, Field(union_mode="left_to_right")] = Field(
        default=None, exclude=True
    )
    """A file with one class name a line in label order, or their number. Needed, as the lists are."""
    multi_label: bool = False
    """Whether a line may give several labels (mmaction2)."""
    flip: Literal["yes", "no"] = "yes"
    """Whether a mirrored video is still of its class."""


class ClassFolders(PublishedVideos):
    """A user's own dataset: one folder a split, in it one a class, in it videos or folders of frames."""

    title: ClassVar[str] = "videos in class folders"
    name: Literal["class_folders"] = "class_folders"
    train_folder: str = "train"
    """The folder of the training videos, in the root."""
    report_folder: str = "val"
    """The folder of the videos that tables report."""
    classes: Folder | None = Field(default=None, exclude=True)
    """A file with one class name a line in label order; default: the folders' names, sorted."""
    flip: Literal["yes", "no"] = "yes"
    """Whether a mirrored video is still of its class."""
