"""Sets are found where they may lie, and only fetched when asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchvision.datasets import MNIST

from archspec.data import download, find, folders
from archspec.errors import FileError
from tests.data.making import SMALL10, cifar_python, idx_set


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No set lies anywhere but where the test puts it."""
    monkeypatch.delenv(find.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(find, "DEBIAN", tmp_path / "debian")
    return tmp_path


def test_the_search_goes_from_the_variable_to_the_cache_to_debian(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(find.VARIABLE, str(nowhere / "own"))
    places = [nowhere / "debian", nowhere / "cache" / "archspec", nowhere / "own"]
    for root in places:
        idx_set(root / "fashion-mnist", train=10, test=10)
        assert find.find("fashion-mnist").place == str(root / "fashion-mnist")
    given = idx_set(nowhere / "given" / "FashionMNIST" / "raw", train=10, test=10)
    assert find.find("fashion-mnist", nowhere / "given").place == str(given)
    assert find.find("fashion-mnist", given).place == str(given)


def test_a_root_that_is_given_is_the_only_one(nowhere: Path) -> None:
    idx_set(nowhere / "debian" / "mnist")
    (nowhere / "empty").mkdir()
    with pytest.raises(FileError, match="AS531") as caught:
        find.find("mnist", nowhere / "empty")
    (diagnostic,) = caught.value.diagnostics
    assert str(nowhere / "empty") in diagnostic.message
    assert str(nowhere / "debian") not in diagnostic.message


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar10", "cifar-10-python.tar.gz"),
        ("cifar100", "--download"),
        ("mnist", "mnist"),
        ("fashion-mnist", "apt-get install dataset-fashion-mnist"),
        ("imagenet", "https://image-net.org"),
        ("folder", "name a folder"),
    ],
)
def test_a_missing_set_says_what_to_fetch_and_where_to_put_it(nowhere: Path, name: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        find.find(name)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "AS531"
    assert hint in diagnostic.hint
    assert "--data" in diagnostic.hint + diagnostic.message
    assert "None" not in diagnostic.message
    assert ("--download" in diagnostic.hint) == (name in download.SETS)


def test_a_mistyped_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(FileError) as caught:
        find.find("cifar-10")
    assert caught.value.diagnostics[0].hint == 'did you mean "cifar10"?'


def test_a_network_chooses_the_shape_of_a_synthetic_set() -> None:
    splits = find.find("synthetic", shape=(1, 8, 12), classes=3).read()
    assert splits.train.shape == (1, 8, 12)
    assert len(splits.train.classes) == 3


def test_downloads_are_torchvisions_with_its_checksums_and_only_when_asked(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def get(url: str, folder: str, md5: str) -> None:
        asked.append((url, folder, md5))
        if "amazonaws" in url and "mnist/" in url:
            raise RuntimeError("File not found or corrupted.")
        if len(asked) == 8:
            idx_set(Path(folder), zipped=False)

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", get)
    with pytest.raises(FileError, match="AS531"):
        find.find("mnist")
    assert asked == []
    source = find.find("mnist", fetch=True)
    assert source.place == str(nowhere / "cache" / "archspec" / "MNIST" / "raw")
    assert [each[2] for each in asked[1::2]] == [md5 for _, md5 in MNIST.resources]
    assert asked[0][0].startswith(MNIST.mirrors[0])
    assert asked[1][0].startswith(MNIST.mirrors[1])


def test_a_download_that_fails_is_a_diagnostic(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(url: str, folder: str, md5: str) -> None:
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr("torchvision.datasets.utils.download_and_extract_archive", get)
    with pytest.raises(FileError, match=r"AS531.*download failed.*corrupted"):
        find.find("cifar10", fetch=True)


def test_what_is_found_is_told_by_its_files(nowhere: Path) -> None:
    cifar_python(nowhere / "own" / "cifar-10-batches-py", SMALL10)
    assert find.find("cifar10", nowhere / "own").place.endswith("cifar-10-batches-py")
    with pytest.raises(FileError):
        find.find("cifar100", nowhere / "own")
    assert not folders.has(nowhere / "missing")
