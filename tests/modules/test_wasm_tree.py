"""The file tree of a program behaves like a file system, whatever is done to it in whatever order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules import folders
from modules.wasm.inside.tree import MAX_DEPTH, Directory, OutputFile, Quota, TooMuch, Tree
from modules.wasm.inside.wasi_types import Errno, WasiError

PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
DEEDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["mkdir", "create", "rmdir", "unlink", "look"]), PATHS),
        st.tuples(st.just("rename"), PATHS, PATHS),
    ),
    max_size=40,
)


def do_in_tree(tree: Tree, deed: tuple[str, ...]) -> bool:
    try:
        match deed:
            case ("mkdir", path):
                tree.make_directory(tree.outputs, path)
            case ("create", path):
                tree.make_file(tree.outputs, path)
            case ("rmdir", path):
                tree.remove_directory(tree.outputs, path)
            case ("unlink", path):
                tree.remove_file(tree.outputs, path)
            case ("look", path):
                tree.find(tree.outputs, path)
            case ("rename", path, new):
                tree.rename(tree.outputs, path, tree.outputs, new)
    except WasiError:
        return False
    return True


def do_on_host(root: Path, deed: tuple[str, ...]) -> bool:
    try:
        match deed:
            case ("mkdir", path):
                (root / path).mkdir()
            case ("create", path):
                (root / path).touch(exist_ok=False)
            case ("rmdir", path):
                (root / path).rmdir()
            case ("unlink", path):
                (root / path).unlink()
            case ("look", path):
                (root / path).lstat()
            case ("rename", path, new):
                (root / path).rename(root / new)
    except OSError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(DEEDS)
def test_the_tree_does_what_a_real_file_system_does(deeds: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        store, host, laid_out = (Path(name) / each for each in ("store", "host", "laid-out"))
        for folder in (store, host, laid_out):
            folder.mkdir()
        quota = Quota(0, 1000)
        tree = Tree(None, store, quota)
        for deed in deeds:
            assert do_in_tree(tree, deed) == do_on_host(host, deed), deed
        tree.lay_out(laid_out)
        left = list(folders.walk(host))
        assert list(folders.walk(laid_out)) == left
        assert list(store.iterdir()) == []
        quota.take_entries(1000 - len(left))
        with pytest.raises(TooMuch):
            quota.take_entries(1)


def test_a_path_never_leads_above_the_directory_it_starts_from(tmp_path: Path) -> None:
    tree = Tree(None, tmp_path, Quota(0, 10))
    tree.make_directory(tree.outputs, "a")
    inner = tree.find(tree.outputs, "a")
    assert isinstance(inner, Directory)
    for path in ("..", "../a", "./../..", "b/../..", "/", "/outputs"):
        with pytest.raises(WasiError):
            tree.find(inner, path)
    assert tree.find(tree.outputs, "a/../a/.") is inner
    assert tree.find(tree.root, "outputs/a/../../inputs") is tree.inputs


def test_what_may_not_be_written_is_told_so(tmp_path: Path) -> None:
    tree = Tree(None, tmp_path, Quota(0, 10))
    for base, path in ((tree.root, "new"), (tree.inputs, "new"), (tree.root, "inputs/new")):
        with pytest.raises(WasiError) as caught:
            tree.make_file(base, path)
        assert caught.value.errno is Errno.ROFS
    with pytest.raises(WasiError) as caught:
        tree.rename(tree.root, "outputs", tree.root, "moved")
    assert caught.value.errno is Errno.ROFS


def test_no_move_makes_the_tree_deeper_than_a_result_may_be(tmp_path: Path) -> None:
    tree = Tree(None, tmp_path, Quota(0, 1000))
    for tower in ("x", "y"):
        path = tower
        for _ in range(MAX_DEPTH // 2 + 5):
            tree.make_directory(tree.outputs, path)
            path += "/d"
    with pytest.raises(WasiError) as caught:
        tree.rename(tree.outputs, "x", tree.outputs, path)
    assert caught.value.errno is Errno.NAMETOOLONG


def test_a_removed_file_keeps_its_bytes_until_its_last_user_is_gone(tmp_path: Path) -> None:
    quota = Quota(100, 10)
    tree = Tree(None, tmp_path, quota)
    file = tree.make_file(tree.outputs, "f")
    file.users = 1
    tree.resize(file, 100)
    tree.remove_file(tree.outputs, "f")
    assert quota.bytes_left == 0
    assert os.listdir(tmp_path) == [str(file.inode)]
    file.users = 0
    tree.release(file)
    assert quota.bytes_left == 100
    assert os.listdir(tmp_path) == []
    assert isinstance(file, OutputFile)
