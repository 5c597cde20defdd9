"""One behaviour over a local folder and over pyarrow's file systems."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow._fs import _MockFileSystem

from harness.base.errors import StorageError, UserError
from harness.base.storage import ArrowStorage, LocalStorage, Storage, storage_at


def _mock(folder: str) -> ArrowStorage:
    filesystem = _MockFileSystem()
    filesystem.create_dir(folder, recursive=True)
    return ArrowStorage(filesystem, folder, "mock://somewhere")


KINDS: dict[str, Callable[[Path], Storage]] = {
    "local": LocalStorage,
    "arrow": lambda root: ArrowStorage(pafs.LocalFileSystem(), str(root), "arrow://here"),
    "subtree": lambda root: ArrowStorage(
        pafs.SubTreeFileSystem(str(root), pafs.LocalFileSystem()), "in", "sub://x"
    ),
    "mock": lambda _: _mock("some/root"),
}
NAMES = st.sampled_from(["a", "trials/a", "trials/b", "deep/er/a", "index.parquet"])


@pytest.fixture(params=sorted(KINDS))
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return KINDS[request.param](tmp_path / "root")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", sorted(KINDS))
@given(steps=st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=20)), max_size=12))
def test_a_storage_is_a_dictionary(
    kind: str, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes | None]]
) -> None:
    """Any writes and deletes: what is read and listed is what a dictionary would hold."""
    storage, model = KINDS[kind](tmp_path_factory.mktemp("root") / "new"), {}
    for name, content in steps:
        if content is None:
            storage.delete(name)
            model.pop(name, None)
        else:
            storage.write(name, content)
            model[name] = content
    for name in ("a", "trials/a", "trials/b", "deep/er/a", "index.parquet"):
        assert (storage.stamp(name) is not None) == (name in model)
    assert {name: storage.read(name) for name in model} == model
    for folder in ("", "trials", "deep", "deep/er", "nowhere"):
        listed = storage.listing(folder)
        assert set(listed) == {n.rpartition("/")[2] for n in model if n.rpartition("/")[0] == folder}
        assert all(listed[n] == storage.stamp(f"{folder}/{n}".lstrip("/")) for n in listed)


def test_what_is_not_there(storage: Storage) -> None:
    storage.write("a", b"1")
    for name in ("b", "trials/b", "a/b"):
        assert storage.stamp(name) is None
        with pytest.raises(FileNotFoundError):
            storage.read(name)
        storage.delete(name)
    assert storage.listing("a") == {}


def test_a_stamp_changes_with_the_content(storage: Storage) -> None:
    storage.write("trials/a", b"1")
    before = storage.stamp("trials/a")
    storage.write("trials/a", b"22")
    assert storage.stamp("trials/a") != before


def test_a_place_is_what_people_know(tmp_path: Path) -> None:
    assert LocalStorage(tmp_path).place("trials/a") == str(tmp_path / "trials" / "a")
    assert KINDS["arrow"](tmp_path).place("trials/a") == "arrow://here/trials/a"
    assert KINDS["mock"](tmp_path).place() == "mock://somewhere"


def test_paths_and_uris_find_their_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in (tmp_path / "x", str(tmp_path / "x"), "~/x", f"file://{tmp_path}/x"):
        found = storage_at(root)
        assert isinstance(found, LocalStorage)
        assert found.root == tmp_path / "x"
    assert isinstance(storage_at("mock:///bucket/x"), ArrowStorage)
    with pytest.raises(UserError, match="nosuch://x: no storage can be reached by this name"):
        storage_at("nosuch://x")


class _Breaking:
    """A file system whose writes break in the middle, and whose reads and listings find the storage away."""

    def __init__(self, root: Path, number: int) -> None:
        self.root, self.inner = root, pafs.SubTreeFileSystem(str(root), pafs.LocalFileSystem())
        self.number = number

    def open_output_stream(self, name: str, **_: object) -> object:
        (self.root / name).write_bytes(b"half")
        raise OSError(self.number, "No space left on device" if self.number == errno.ENOSPC else "gone")

    def open_input_stream(self, *_: object, **__: object) -> object:
        raise OSError(errno.EIO, "the storage is away")

    def get_file_info(self, what: object) -> object:
        if isinstance(what, pafs.FileSelector):
            raise OSError(errno.EIO, "the storage is away")
        return self.inner.get_file_info(what)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "cannot be written")]
)
def test_a_storage_that_breaks_is_one_message_and_leaves_nothing(
    tmp_path: Path, number: int, message: str
) -> None:
    storage = ArrowStorage(_Breaking(tmp_path, number), "", "full://x")
    with pytest.raises(StorageError, match=f"full://x/trials/a: {message}.*; try later"):
        storage.write("trials/a", b"whole", remedy="try later")
    assert list((tmp_path / "trials").iterdir()) == []


def test_a_storage_that_is_away_is_one_message(tmp_path: Path) -> None:
    storage = ArrowStorage(_Breaking(tmp_path, errno.EIO), "", "full://x")
    for read in (lambda: storage.read("a"), lambda: storage.listing("trials")):
        with pytest.raises(StorageError, match=r"full://x/.*cannot be read.*same command again"):
            read()


def test_a_folder_that_cannot_be_listed_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr("harness.base.storage.os.scandir", refused)
    with pytest.raises(StorageError, match="Stale file handle"):
        LocalStorage(tmp_path).listing("trials")
