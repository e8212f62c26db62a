"""Folders go in, archives travel, folders come out; and what is hostile on the way is refused."""

from __future__ import annotations

import io
import os
import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content import dagpb
from content.adding import add_path
from content.blocks import Blocks, MemoryBlocks
from content.car import load_car, read_car, write_car
from content.cid import Cid, Codec
from content.errors import BadNode, CannotAdd, MissingBlock, NoSuchEntry, TooMuch, Unsupported
from content.exporting import export
from content.layout import add_stream
from content.limits import Budget, Limits
from content.reading import cat, ls, resolve
from content.unixfs import Made, encode_branch, encode_directory
from content.walk import walk
from protocol.errors import PeerFault

Tree = dict[str, "Tree"] | bytes

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
big_files = st.sampled_from([1 << 20, (1 << 20) + 1, 2_500_000]).map(lambda size: (b"lilypad" * size)[:size])
contents = st.one_of(st.binary(max_size=200), st.binary(max_size=200), big_files)
trees: st.SearchStrategy[Tree] = st.recursive(
    contents, lambda children: st.dictionaries(names, children, max_size=4), max_leaves=12
)


def write_tree(tree: Tree, path: Path) -> None:
    if isinstance(tree, bytes):
        path.write_bytes(tree)
        return
    path.mkdir()
    for name, child in tree.items():
        write_tree(child, path / name)


def read_tree(path: Path) -> Tree:
    if path.is_dir():
        return {child.name: read_tree(child) for child in path.iterdir()}
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(trees)
def test_any_tree_comes_back_from_an_archive_as_it_was(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_tree(tree, here / "original")
        mine = MemoryBlocks()
        root = add_path(here / "original", mine)
        car = b"".join(write_car(root, walk(root, mine)))
        theirs = MemoryBlocks()
        assert load_car(io.BytesIO(car), theirs, root) == root
        export(root, theirs, here / "copy")
        assert read_tree(here / "copy") == tree
        assert sorted(path.name for path in here.iterdir()) == ["copy", "original"]


@settings(max_examples=25, deadline=None)
@given(trees, st.integers(1, 255), st.data())
def test_a_flipped_byte_anywhere_in_an_archive_is_refused(tree: Tree, flip: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_tree(tree, Path(folder) / "tree")
        blocks = MemoryBlocks()
        root = add_path(Path(folder) / "tree", blocks)
    car = bytearray(b"".join(write_car(root, walk(root, blocks))))
    at = data.draw(st.integers(0, len(car) - 1))
    car[at] ^= flip
    with pytest.raises(PeerFault):
        list(read_car(io.BytesIO(car), root))
    with pytest.raises(PeerFault):
        load_car(io.BytesIO(car), MemoryBlocks(), root)


def test_the_same_tree_has_the_same_name_whatever_its_times_and_modes(tmp_path: Path) -> None:
    tree: Tree = {"b": {"x": b"1", "ü": b"2"}, "a": b"3", "B": {}}
    write_tree(tree, tmp_path / "one")
    write_tree(tree, tmp_path / "two")
    (tmp_path / "two" / "a").chmod(0o755)
    os.utime(tmp_path / "two" / "b" / "x", (0, 0))
    blocks = MemoryBlocks()
    root = add_path(tmp_path / "one", blocks)
    assert add_path(tmp_path / "two", blocks) == root
    assert [entry.name for entry in ls(root, blocks)] == ["B", "a", "b"]
    assert b"".join(cat(resolve(root, "b/ü", blocks), blocks)) == b"2"


def test_links_sockets_and_devices_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s3cret")
    job = tmp_path / "job"
    job.mkdir()
    (job / "link").symlink_to(secret)
    with pytest.raises(CannotAdd, match="a symlink"):
        add_path(job, MemoryBlocks())
    with pytest.raises(CannotAdd, match="a symlink"):
        add_path(job / "link", MemoryBlocks())
    (job / "link").unlink()
    os.mkfifo(job / "pipe")
    with pytest.raises(CannotAdd, match="pipe is neither"):
        add_path(job, MemoryBlocks())
    (job / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(job / "socket"))
        with pytest.raises(CannotAdd, match="socket is neither"):
            add_path(job, MemoryBlocks())
    with pytest.raises(CannotAdd, match="null is neither"):
        add_path(Path("/dev/null"), MemoryBlocks())


def test_a_job_that_swaps_a_directory_for_a_link_meanwhile_gets_nothing_else_in(tmp_path: Path) -> None:
    write_tree({"out": {"a": b"mine", "b": b"mine too"}}, tmp_path / "job")
    write_tree({"a": b"s3cret", "b": b"s3cret"}, tmp_path / "etc")

    class Swapping(MemoryBlocks):
        def add(self, codec: Codec, block: bytes) -> Cid:
            out = tmp_path / "job" / "out"
            if not out.is_symlink():
                out.rename(tmp_path / "job" / "moved")
                out.symlink_to(tmp_path / "etc")
            return super().add(codec, block)

    blocks = Swapping()
    root = add_path(tmp_path / "job", blocks)
    assert b"".join(cat(resolve(root, "out/b", blocks), blocks)) == b"mine too"


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff", "wb"):
        pass
    with pytest.raises(CannotAdd, match="not UTF-8"):
        add_path(tmp_path, MemoryBlocks())


def test_a_directory_that_would_need_sharding_is_refused_when_written_and_when_read(tmp_path: Path) -> None:
    for number in range(3500):
        (tmp_path / f"{number:032d}").touch()
    with pytest.raises(CannotAdd, match="3500 entries"):
        add_path(tmp_path, MemoryBlocks())
    blocks = MemoryBlocks()
    shard = blocks.add(Codec.DAG_PB, dagpb.encode([], b"\x08\x05\x28\x22\x30\x80\x02"))
    with pytest.raises(Unsupported, match="sharded"):
        export(shard, blocks, tmp_path / "out")


def test_limits_hold_on_the_way_in(tmp_path: Path) -> None:
    write_tree({"a": {"b": {"c": b"12345"}}, "d": b""}, tmp_path / "t")
    for limits in (Limits(max_bytes=4), Limits(max_depth=3), Limits(max_entries=3), Limits(max_blocks=3)):
        with pytest.raises(TooMuch):
            add_path(tmp_path / "t", MemoryBlocks(), limits)
    exact = Limits(max_bytes=5, max_depth=4, max_entries=4, max_blocks=4)
    add_path(tmp_path / "t", MemoryBlocks(), exact)


def test_a_stretch_of_a_file_reads_only_its_own_blocks() -> None:
    data = bytes(range(256)) * 40
    blocks = MemoryBlocks()
    root = add_stream(io.BytesIO(data), blocks, Budget(Limits()), chunk=100, width=3).cid
    needed = MemoryBlocks()

    class Watching(MemoryBlocks):
        def get(self, cid: Cid) -> bytes:
            needed.put(cid, blocks.get(cid))
            return blocks.get(cid)

    assert b"".join(cat(root, Watching(), 4321, 4444)) == data[4321:4444]
    assert len(needed) < 15
    for start, stop in ((0, None), (0, 1), (99, 101), (10_239, 10_240), (10_240, None), (500, 500), (0, 99_999)):
        assert b"".join(cat(root, blocks, start, stop)) == data[start:stop]


def test_a_path_leads_down_and_never_up(tmp_path: Path) -> None:
    write_tree({"a": {"b": b"x"}}, tmp_path / "t")
    blocks = MemoryBlocks()
    root = add_path(tmp_path / "t", blocks)
    assert resolve(root, "", blocks) == root
    assert resolve(root, "/a//b/", blocks) == Cid.of(Codec.RAW, b"x")
    for path in ("..", "a/..", ".", "a/b/c", "A"):
        with pytest.raises(NoSuchEntry):
            resolve(root, path, blocks)
    with pytest.raises(NoSuchEntry):
        list(cat(root, blocks))


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../etc/passwd", "nul\0", "x" * 256])
def test_a_name_that_leads_out_of_its_directory_is_never_written(name: str, tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    root = _directory(blocks, [(name, _leaf(blocks, b"bad"))])
    with pytest.raises(BadNode):
        export(root.cid, blocks, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_comes_twice_or_out_of_order_is_refused(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    leaf = _leaf(blocks, b"x")
    root = _directory(blocks, [("a", leaf), ("a", _leaf(blocks, b"y"))])
    with pytest.raises(BadNode, match="distinct"):
        export(root.cid, blocks, tmp_path / "out")
    links = [dagpb.Link(leaf.cid, name, 1) for name in "ba"]
    root_cid = blocks.add(Codec.DAG_PB, dagpb.encode(links, b"\x08\x01"))
    with pytest.raises(BadNode, match="sorted"):
        export(root_cid, blocks, tmp_path / "out")


def test_one_small_block_linked_a_billion_times_is_caught(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    bomb = _leaf(blocks, bytes(1000))
    for _ in range(3):
        bomb = _branch(blocks, [bomb] * 1000)
    assert bomb.size == 10**12
    with pytest.raises(TooMuch, match="bytes"):
        export(bomb.cid, blocks, tmp_path / "out")
    # Where bytes would be allowed, the visits are what is counted.
    with pytest.raises(TooMuch, match="blocks"):
        export(bomb.cid, blocks, tmp_path / "out", Limits(max_bytes=1 << 50, max_blocks=2000))
    folder = _directory(blocks, [("leaf", _leaf(blocks, b""))])
    for _ in range(8):
        folder = _directory(blocks, [(f"{number:03}", folder) for number in range(100)])
    with pytest.raises(TooMuch):
        export(folder.cid, blocks, tmp_path / "out", Limits(max_entries=1000))
    assert list(tmp_path.iterdir()) == []
    # A transfer moves each block once, so there the same DAG is small.
    assert len(list(walk(bomb.cid, blocks))) == 4


def test_a_deep_tree_is_refused(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    tree = _leaf(blocks, b"x")
    for _ in range(70):
        tree = _directory(blocks, [("d", tree)])
    with pytest.raises(TooMuch, match="levels"):
        export(tree.cid, blocks, tmp_path / "out")
    with pytest.raises(TooMuch, match="levels"):
        list(walk(tree.cid, blocks))
    tall = _leaf(blocks, b"x")
    for _ in range(70):
        tall = _branch(blocks, [tall])
    with pytest.raises(TooMuch, match="levels"):
        list(cat(tall.cid, blocks))
    assert list(tmp_path.iterdir()) == []


def test_a_declared_size_that_is_not_true_is_refused(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    true = _leaf(blocks, b"12345")
    lie = Made(true.cid, 4, 5)
    folder = _directory(blocks, [("x", true)])
    fake = Made(folder.cid, 9, 9)
    # The second branch lies about a block that the walk has seen before.
    for pieces in ([lie], [true, lie], [true, fake]):
        root = _branch(blocks, pieces)
        with pytest.raises(BadNode, match="declares"):
            export(root.cid, blocks, tmp_path / "out")
        with pytest.raises(BadNode, match="declares"):
            list(walk(root.cid, blocks))
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_never_overwritten(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    leaf = _leaf(blocks, b"new")
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("out", "dangling"):
        with pytest.raises(FileExistsError):
            export(leaf.cid, blocks, tmp_path / name)
    assert (tmp_path / "out").read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()


def test_a_tree_with_a_missing_block_leaves_nothing_behind(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    absent = Cid.of(Codec.RAW, b"absent")
    root = _directory(blocks, [("a", _leaf(blocks, b"x")), ("b", Made(absent, 6, 6))])
    with pytest.raises(MissingBlock) as caught:
        export(root.cid, blocks, tmp_path / "out")
    assert caught.value.cid == absent
    assert list(tmp_path.iterdir()) == []


def _leaf(blocks: Blocks, data: bytes) -> Made:
    return Made(blocks.add(Codec.RAW, data), len(data), len(data))


def _branch(blocks: Blocks, children: list[Made]) -> Made:
    cid = blocks.add(Codec.DAG_PB, encode_branch(children))
    return Made(cid, sum(child.size for child in children), 0)


def _directory(blocks: Blocks, entries: list[tuple[str, Made]]) -> Made:
    return Made(blocks.add(Codec.DAG_PB, encode_directory(entries)), 0, 0)
