"""A module from a repository is its files only: nothing of the repository runs, and nothing leads out of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from modules.catalogue import find
from modules.creating import create
from modules.errors import ModuleFault
from modules.git_source import GitFault, GitReference, fetch_git, parse_reference

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a module in a folder, a tag, and a hook that would leave a mark."""
    place = tmp_path / "repository"
    place.mkdir()
    create("mine", "wasm", place / "folder")
    git(place, "init", "-q", "-b", "main")
    commit(place)
    git(place, "tag", "v1")
    return place


def git(place: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "core.hooksPath=/dev/null")
    done = subprocess.run(["git", *identity, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(place: Path) -> str:
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "A commit")
    return git(place, "rev-parse", "HEAD")


def test_a_tag_a_branch_and_a_commit_name_the_same_module(repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    digests = {
        find(f"git+{repository}{ref}#folder", tmp_path / "cache").digest for ref in ("", "@v1", "@main", f"@{head}")
    }
    assert len(digests) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_later_commit_is_another_module(repository: Path, tmp_path: Path) -> None:
    reference = f"git+{repository}@main#folder"
    before = find(reference, tmp_path / "cache").digest
    manifest = repository / "folder" / "module.toml"
    manifest.write_text(manifest.read_text().replace("timeout_s = 30", "timeout_s = 31"))
    commit(repository)
    assert find(reference, tmp_path / "cache").digest != before
    assert find(f"git+{repository}@v1#folder", tmp_path / "cache").digest == before


def test_links_in_a_repository_are_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "folder" / "link").symlink_to("/etc/passwd")
    commit(repository)
    with pytest.raises(GitFault, match="no plain file"):
        find(f"git+{repository}#folder", tmp_path / "cache")


def test_submodules_filters_and_hooks_do_nothing(repository: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (repository / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = ext::touch ' + str(mark) + "\n")
    (repository / ".gitattributes").write_text("* filter=evil\n")
    for hook in ("post-checkout", "pre-receive", "update", "post-update"):
        (repository / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (repository / ".git" / "hooks" / hook).chmod(0o755)
    git(repository, "config", "filter.evil.smudge", f"touch {mark}")
    git(repository, "config", "uploadpack.packObjectsHook", f"touch {mark}; exec")
    commit(repository)
    find(f"git+{repository}#folder", tmp_path / "cache")
    assert not mark.exists()


def test_a_tree_that_names_itself_again_and_again_is_cut_off(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modules.git_source.MAX_REPOSITORY_BYTES", 1 << 20)
    blob = git(repository, "hash-object", "-w", "--stdin")
    entry = f"100644 blob {blob}\tf"
    for _ in range(6):
        made = subprocess.run(
            ["git", "mktree"], cwd=repository, input=entry + "\n", capture_output=True, text=True, check=True
        ).stdout.strip()
        entry = "\n".join(f"040000 tree {made}\t{number}" for number in range(10))
    head = git(repository, "commit-tree", made, "-m", "bomb")
    git(repository, "branch", "bomb", head)
    with pytest.raises(GitFault):
        find(f"git+{repository}@bomb", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "git+ext::sh -c id",
        "git+file:///tmp/repository",
        "git+git://host/repository",
        "git+http://host/repository",
        "git+-oProxyCommand=id",
        "git+https://host/repository@--upload-pack=id",
        "git+https://host/repository@main#../elsewhere",
        "git+https://host/repository@main#/etc",
        "git+https://-oProxyCommand=id/repository",
    ],
)
def test_what_could_be_misunderstood_is_refused(text: str) -> None:
    with pytest.raises(GitFault):
        parse_reference(text)


def test_references_are_read_as_people_write_them() -> None:
    assert parse_reference("git+https://host/a/b.git@v1#x/y") == GitReference("https://host/a/b.git", "v1", "x/y")
    assert parse_reference("git+ssh://git@host/a") == GitReference("ssh://git@host/a", "HEAD", "")
    assert parse_reference("git+ssh://git@host/a@main#.") == GitReference("ssh://git@host/a", "main", "")


def test_what_is_not_there_is_said(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(GitFault, match="does not give nothing"):
        fetch_git(parse_reference(f"git+{repository}@nothing"), tmp_path / "cache")
    with pytest.raises(ModuleFault, match="fetched"):
        find(f"git+{repository}")
