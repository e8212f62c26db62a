"""Boxes: what they hide, and what becomes of one that somebody has tampered with."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content.adding import add_path
from content.blocks import MemoryBlocks
from content.box import CHUNK, BadBox, close_box, is_box, new_key, open_box
from content.cid import Cid
from content.errors import TooMuch
from content.layout import add_stream
from content.limits import Budget, Limits
from content.reading import cat
from protocol.errors import PeerFault


def folder(tmp_path: Path, content: bytes) -> Path:
    place = tmp_path / f"f{len(list(tmp_path.iterdir()))}"
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "file").write_bytes(content)
    (place / "empty").write_bytes(b"")
    return place


def boxed(tmp_path: Path, content: bytes) -> tuple[Cid, Cid, MemoryBlocks, bytes]:
    plain, public, key = MemoryBlocks(), MemoryBlocks(), new_key()
    root = add_path(folder(tmp_path, content), plain)
    return root, close_box(root, plain, key, public), public, key


@pytest.mark.parametrize("size", [0, 1, CHUNK - 500, CHUNK, CHUNK + 1, 5 * CHUNK, 3_000_000])
def test_what_was_put_in_comes_out_and_cannot_be_seen_from_outside(tmp_path: Path, size: int) -> None:
    content = b"secret words " * (size // 13 + 1)
    root, box, public, key = boxed(tmp_path, content[:size])
    assert is_box(box, public)
    opened = MemoryBlocks()
    assert open_box(box, public, key, opened) == root
    raw = b"".join(cat(box, public))
    assert b"secret" not in raw
    assert bytes(root) not in raw


def test_the_same_content_is_never_in_the_same_box(tmp_path: Path) -> None:
    assert boxed(tmp_path, b"x")[1] != boxed(tmp_path, b"x")[1]


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    _, box, public, _ = boxed(tmp_path, b"x")
    with pytest.raises(BadBox):
        open_box(box, public, new_key(), MemoryBlocks())


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whoever_changes_cuts_or_reorders_a_box_is_found_out(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, box, public, key = boxed(tmp_path_factory.mktemp("box"), bytes(range(256)) * 600)
    raw = bytearray(b"".join(cat(box, public)))
    sealed = CHUNK + 16
    match data.draw(st.sampled_from(["flip", "cut", "grow", "swap", "drop"])):
        case "flip":
            raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
        case "cut":
            del raw[data.draw(st.integers(0, len(raw) - 1)) :]
        case "grow":
            raw += data.draw(st.binary(min_size=1, max_size=40))
        case "swap":
            head = len(raw) - 2 * sealed if len(raw) > 2 * sealed else 21
            raw[21 : 21 + sealed], raw[21 + sealed : 21 + 2 * sealed] = (
                raw[21 + sealed : 21 + 2 * sealed],
                raw[21 : 21 + sealed],
            )
            assert head
        case _:
            del raw[21 : 21 + sealed]
    import io

    other = add_stream(io.BytesIO(bytes(raw)), public, Budget(Limits())).cid
    with pytest.raises(PeerFault):
        open_box(other, public, key, MemoryBlocks())


def test_a_box_larger_than_we_are_willing_to_open_is_refused(tmp_path: Path) -> None:
    _, box, public, key = boxed(tmp_path, bytes(1_000_000))
    with pytest.raises(TooMuch):
        open_box(box, public, key, MemoryBlocks(), Limits(max_bytes=100_000))


def test_folders_and_other_files_are_no_boxes(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    root = add_path(folder(tmp_path, b"lilypad-box-2"), blocks)
    assert not is_box(root, blocks)
    assert not is_box(add_path(tmp_path / "f0" / "deep" / "file", blocks), blocks)
