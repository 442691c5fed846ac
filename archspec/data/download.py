"""Downloads, where torchvision knows the address and the checksum, and only when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.error import URLError

from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SETS = ("cifar10", "cifar100", "mnist", "fashion-mnist")


def fetch(name: str, folder: Path) -> None:
    """Downloads a set, checks it and unpacks it, as torchvision lays it out. Raises `FileError`: AS531."""
    from torchvision.datasets.utils import download_and_extract_archive

    for urls, md5, inside in _archives(name):
        _first(download_and_extract_archive, urls, md5, folder / inside)


def _archives(name: str) -> Sequence[tuple[list[str], str, str]]:
    """Addresses, MD5 and place of each archive. torchvision's classes themselves unpickle, so they are not made."""
    from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

    if name in ("cifar10", "cifar100"):
        known = CIFAR10 if name == "cifar10" else CIFAR100
        return [([known.url], known.tgz_md5, ".")]
    named = MNIST if name == "mnist" else FashionMNIST
    inside = f"{named.__name__}/raw"
    return [([mirror + file for mirror in named.mirrors], md5, inside) for file, md5 in named.resources]


def _first(get: Callable[..., None], urls: list[str], md5: str, folder: Path) -> None:
    """From the first mirror that has it."""
    said = []
    for url in urls:
        try:
            return get(url, str(folder), md5=md5)
        except (URLError, RuntimeError, OSError) as error:
            said.append(f"{url}: {str(error)[:200]}")
    raise file_error(folder, "AS531", *(f"the download failed: {each}" for each in said))
