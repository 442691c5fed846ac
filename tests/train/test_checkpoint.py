"""Checkpoints: they come back to the same bits, or another one is used and said to be."""

from __future__ import annotations

import errno
import itertools
import json
import math
import multiprocessing
import os
import random
import resource
import shutil
import signal
import stat
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import archspec
from archspec.errors import FileError
from archspec.provenance import stamp
from archspec.train import stored
from archspec.train.checkpoint import Snapshot, keep, model_weights, newest, of_step, save
from archspec.train.stored import FILES, MANIFEST, MODEL, STATE, TRAINING, DamagedError, verify
from archspec.weights.files import read_weights
from archspec.weights.match import matched
from archspec.weights.verify import verify_weights
from tests.weights.making import small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def snapshot(step: int, size: int = 50, **state: Any) -> Snapshot:
    """A run's place, another one for each step."""
    draw = torch.Generator().manual_seed(step)
    weight = torch.randn(size, 3, generator=draw)
    momentum = {"state": {0: {"momentum_buffer": weight * 2}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return Snapshot(step, {"a.weight": weight}, momentum, {"rng": draw.get_state()}, {"seed": 3, **state})


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sound(folder: Path) -> list[str]:
    """The checkpoints that verify."""

    def verifies(path: Path) -> bool:
        try:
            verify(path)
        except DamagedError:
            return False
        return True

    return [path.name for path in sorted(folder.glob("step-*")) if verifies(path)]


def loaded(folder: Path) -> Snapshot:
    found = newest(folder)
    assert found is not None
    return found[1].snapshot


def same(left: Any, right: Any) -> bool:
    """Equal to the bit: types, order of keys, and how tensors lie in memory included."""
    if isinstance(left, Tensor):
        return (
            isinstance(right, Tensor)
            and (left.dtype, left.shape, left.stride()) == (right.dtype, right.shape, right.stride())
            and left.contiguous()
            .view(-1)
            .view(torch.uint8)
            .equal(right.contiguous().view(-1).view(torch.uint8))
        )
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        keys = same(list(left), list(right))
        return keys and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left.hex() == right.hex()
    return bool(left == right)


def assert_same(left: Snapshot, right: Snapshot) -> None:
    assert left.step == right.step
    assert same(left.state, right.state)
    assert same(left.optimizer, right.optimizer)
    # a weights file has its tensors in an order of its own
    assert same(dict(sorted(left.model.items())), dict(sorted(right.model.items())))
    assert same(dict(left.extra), dict(right.extra))


# -- what was saved comes back


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.Flatten(), nn.Linear(5 * 16, 2))
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def trained(module: nn.Module, optimizer: torch.optim.Optimizer, count: int = 3) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        images = torch.randn(2, 3, 6, 6).to(memory_format=torch.channels_last)
        module(images).square().mean().backward()
        optimizer.step()


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=1e-4),
    "fused": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, fused=True),
    "nesterov": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, 1e-3, amsgrad=True),
    "tensor-lr": lambda parameters: torch.optim.Adam(parameters, torch.tensor(1e-3)),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, 1e-3, fused=True),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, 1e-3, momentum=0.9, centered=True),
    "lbfgs": torch.optim.LBFGS,
}


@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("kind", [each for each in OPTIMIZERS if each != "lbfgs"])
def test_training_goes_on_to_the_same_bits(tmp_path: Path, kind: str, count: int) -> None:
    first = network()
    optimizer = OPTIMIZERS[kind](first.parameters())
    trained(first, optimizer, count)
    extra = {"rng": torch.get_rng_state(), "ema.0.weight": first[0].weight.detach() * 0.9}
    before = Snapshot(count, first.state_dict(), optimizer.state_dict(), extra, {})
    save(tmp_path, before, {})
    after = loaded(tmp_path)
    assert_same(before, after)

    second = network()
    other = OPTIMIZERS[kind](second.parameters())
    second.load_state_dict(after.model)
    other.load_state_dict(after.optimizer)
    torch.set_rng_state(extra["rng"])
    trained(first, optimizer)
    torch.set_rng_state(after.extra["rng"])
    trained(second, other)
    assert same(first.state_dict(), second.state_dict())
    assert same(optimizer.state_dict(), other.state_dict())


def test_an_optimizer_that_keeps_lists_and_nothing_comes_back(tmp_path: Path) -> None:
    module = network().to(memory_format=torch.contiguous_format)
    optimizer = OPTIMIZERS["lbfgs"](module.parameters())
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 6)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = module(images).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    before = Snapshot(1, {}, optimizer.state_dict(), {}, {})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4, 5)])
def test_tensors_of_every_type_and_shape_come_back(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    tensor = (torch.randn(shape) * 3).to(getattr(torch, dtype))
    before = Snapshot(0, {"a": tensor}, {"state": {0: {"x": tensor}}}, {"a": tensor}, {})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


def odd_layouts() -> Iterator[tuple[str, Tensor]]:
    base = torch.randn(2, 3, 4, 5)
    yield "channels last", base.to(memory_format=torch.channels_last)
    yield "turned", base.permute(3, 0, 2, 1)
    yield "a column", torch.randn(4, 1, 3, 1).to(memory_format=torch.channels_last)
    yield "bfloat16", base.bfloat16().to(memory_format=torch.channels_last)
    yield "1x1", torch.randn(4, 3, 1, 1).to(memory_format=torch.channels_last)
    yield "three dimensions", torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("tensor", [pytest.param(each, id=name) for name, each in odd_layouts()])
def test_tensors_lie_in_memory_as_they_did(tmp_path: Path, tensor: Tensor) -> None:
    before = Snapshot(0, {"a": tensor}, {"x": [tensor]}, {"a": tensor}, {"y": tensor})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


def test_views_with_holes_and_repeats_come_back_by_their_values(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    model = {"part": base[:, 1:3], "again": base[:1].expand(5, 6), "grad": base.clone().requires_grad_()}
    save(tmp_path, Snapshot(0, model, {}, {}, {}), {})
    after = loaded(tmp_path).model
    assert all(torch.equal(model[key], after[key]) for key in model)


def test_bits_that_are_no_numbers_stay(tmp_path: Path) -> None:
    bits = torch.tensor([0x7FC00001, 0x7F800001, -0x80000000, -0x800000, 1], dtype=torch.int32)
    before = Snapshot(0, {"a": bits.view(torch.float32)}, {}, {"a": bits.view(torch.float32)}, {})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


KEYS = st.text(max_size=4) | st.sampled_from(
    ["$tensor", "$tuple", "$dict", "$float", "$", "a.b", "a", "__metadata__"]
)
TENSORS = st.sampled_from([torch.tensor(1.5), torch.zeros(0), torch.ones(2, 3).t(), torch.arange(3)])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            KEYS | st.integers() | st.none() | st.tuples(st.integers(), st.booleans()), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@FEW
@given(optimizer=st.dictionaries(KEYS, VALUES, max_size=4), state=st.dictionaries(KEYS, VALUES, max_size=4))
def test_whatever_is_nested_comes_back(
    tmp_path: Path, optimizer: dict[str, Any], state: dict[str, Any]
) -> None:
    shutil.rmtree(tmp_path)
    before = Snapshot(7, {"a": torch.ones(1)}, optimizer, {}, state)
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


def test_paths_that_read_alike_do_not_collide(tmp_path: Path) -> None:
    state = {"a.b": torch.tensor(1), "a": {"b": torch.tensor(2)}}
    before = Snapshot(0, {}, {}, {"a.b": torch.tensor(3)}, state)
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


@pytest.mark.parametrize(
    "state", [{"a": {1, 2}}, {"a": [object()]}, {"a": torch.zeros(1, dtype=torch.complex64)}]
)
def test_what_cannot_be_stored_is_named_and_nothing_is_left(tmp_path: Path, state: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"state\.a"):
        save(tmp_path, Snapshot(0, {}, {}, {}, state), {})
    assert steps(tmp_path) == []


def test_state_is_readable_and_strict_json(tmp_path: Path) -> None:
    path = save(tmp_path, snapshot(5, best=-math.inf, drops=(1, 2)), {})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    tree = json.loads((path / STATE).read_text(), parse_constant=refuse)
    assert tree["state"] == {"seed": 3, "best": {"$float": "-inf"}, "drops": {"$tuple": [1, 2]}}
    assert loaded(tmp_path).state == {"seed": 3, "best": -math.inf, "drops": (1, 2)}


def test_no_pickle_is_written(tmp_path: Path) -> None:
    path = save(tmp_path, snapshot(5), {})
    assert steps(path) == sorted([*FILES, MANIFEST])
    assert all((path / name).read_bytes()[:2] not in (b"PK", b"\x80\x02") for name in FILES)


def test_the_model_is_a_weights_file_like_any_other(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    module = archspec.build(architecture)
    path = save(tmp_path / "run", Snapshot(1, module.state_dict(), {}, {}, {}), stamp(architecture))
    assert all(check.ok for check in verify_weights(path / MODEL))
    assert set(matched(architecture, read_weights(path / MODEL))) == set(module.state_dict())
    found = newest(tmp_path / "run")
    assert found is not None
    assert found[1].stamp.items() >= stamp(architecture).items()


# -- one that is damaged is passed over


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    save(folder, snapshot(900, size=4), {})
    save(folder, snapshot(1000, size=4), {"archspec.version": "1"})
    return folder


def damaged(folder: Path, name: str, change: Callable[[bytes], bytes]) -> tuple[str, tuple[str, ...]]:
    """Which checkpoint is used, and what is said, while a file of the newest is another. Puts it back."""
    path = folder / "step-00001000" / name
    content = path.read_bytes()
    path.write_bytes(change(content))
    try:
        found = newest(folder)
    finally:
        path.write_bytes(content)
    assert found is not None
    return found[0].name, found[1].remarks


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_no_flipped_bit_gets_past(pair: Path, name: str) -> None:
    length = (pair / "step-00001000" / name).stat().st_size
    for place in range(0, length, 1 if name == MANIFEST else 5):
        bit = 1 << place % 8

        def flip(content: bytes, place: int = place, bit: int = bit) -> bytes:
            return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]

        used, remarks = damaged(pair, name, flip)
        assert used == "step-00000900", place
        assert len(remarks) == 1
    used, remarks = damaged(pair, name, lambda content: content)
    assert (used, remarks) == ("step-00001000", ())


@FEW
@given(
    name=st.sampled_from([*FILES, MANIFEST]),
    place=st.floats(0, 1, exclude_max=True),
    put=st.binary(max_size=12),
    cut=st.integers(0, 40),
)
def test_no_other_bytes_get_past(pair: Path, name: str, place: float, put: bytes, cut: int) -> None:
    def change(content: bytes) -> bytes:
        at = int(place * len(content))
        return content[:at] + put + content[at + cut :]

    content = (pair / "step-00001000" / name).read_bytes()
    used, remarks = damaged(pair, name, change)
    assert used == ("step-00001000" if change(content) == content else "step-00000900")
    assert all(each.startswith("step-00001000: ") for each in remarks)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_no_truncated_file_gets_past(pair: Path, name: str) -> None:
    length = (pair / "step-00001000" / name).stat().st_size
    for tenth in range(10):
        used, _ = damaged(pair, name, lambda content, end=length * tenth // 10: content[:end])
        assert used == "step-00000900"


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("harm", "remark"),
    [
        (lambda path: flipped(path / MODEL), "model.safetensors has another SHA-256"),
        (lambda path: (path / TRAINING).unlink(), "training.safetensors is missing"),
        (lambda path: os.truncate(path / MODEL, 10), "model.safetensors has 10 bytes instead of"),
        (lambda path: (path / MANIFEST).unlink(), "manifest.json is missing"),
        (lambda path: (path / MANIFEST).write_text("[" * 4000), "manifest.json is damaged"),
        (lambda path: (path / MANIFEST).write_text(" " * 5000), "manifest.json is too long"),
        (lambda path: flipped(path / MANIFEST), "manifest.json is damaged"),
        (lambda path: append(path / MANIFEST, " "), "manifest.json is damaged"),
        (lambda path: append(path / MANIFEST, "\n"), "manifest.json is damaged"),
        (lambda path: (shutil.rmtree(path), path.mkdir()), "manifest.json is missing"),
        (lambda path: (shutil.rmtree(path), path.touch()), "manifest.json cannot be read: Not a directory"),
        (lambda path: ((path / STATE).unlink(), os.mkfifo(path / STATE)), "state.json is no file"),
        (
            lambda path: (shutil.rmtree(path), shutil.copytree(path.with_name("step-00000900"), path)),
            "manifest.json is of step 900",
        ),
        (
            lambda path: (path / MANIFEST).write_text('{"format": 2, "step": 1000, "files": {}}'),
            "manifest.json has format 2, and this archspec reads 1",
        ),
    ],
)
def test_the_remark_says_what_is_wrong_and_what_is_used(
    tmp_path: Path, harm: Callable[[Path], object], remark: str
) -> None:
    save(tmp_path, snapshot(900), {})
    harm(save(tmp_path, snapshot(1000), {}))
    found = newest(tmp_path)
    assert found is not None
    assert found[0].name == "step-00000900"
    assert len(found[1].remarks) == 1
    assert found[1].remarks[0].startswith(f"step-00001000: {remark}")
    assert found[1].remarks[0].endswith("; using step-00000900")


PLAIN = {"step": 1000, "state": {}, "optimizer": {}, "extra": {}, "strides": {"model": {}, "training": {}}}


@pytest.mark.parametrize(
    "tree",
    [
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({**PLAIN, "optimizer": {"$tensor": "no"}}),
        json.dumps({**PLAIN, "strides": {"model": {"a.weight": ["x", 1]}, "training": {}}}),
        json.dumps(
            {**PLAIN, "strides": {"model": {"a.weight": [1, -3]}, "training": {}}, "extra": {"$tuple": 3}}
        ),
    ],
    ids=["list", "empty", "deep", "dangling", "strides", "tuple"],
)
def test_one_that_verifies_and_makes_no_sense_is_passed_over(tmp_path: Path, tree: str) -> None:
    save(tmp_path, snapshot(900), {})
    path = save(tmp_path, snapshot(1000), {})
    (path / STATE).write_text(tree)
    digests, sizes = stored._claims(path)
    digests[STATE] = stored.sha256(tree.encode()).hexdigest()
    sizes[STATE] = len(tree)
    (path / MANIFEST).write_bytes(stored._manifest(1000, digests, sizes))
    verify(path)
    found = newest(tmp_path)
    assert found is not None
    assert "it cannot be understood" in found[1].remarks[0]


def test_several_are_passed_over(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, snapshot(step), {})
    for step in (2, 3, 4):
        flipped(tmp_path / f"step-{step:08d}" / TRAINING)
    found = newest(tmp_path)
    assert found is not None
    assert found[1].snapshot.step == 1
    assert [each[:13] for each in found[1].remarks] == ["step-00000004", "step-00000003", "step-00000002"]


@pytest.mark.parametrize("finds", [newest, model_weights])
def test_one_that_is_pruned_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finds: Callable[[Path], object]
) -> None:
    """The run that goes on has saved another by then, and keeps one."""
    save(tmp_path, snapshot(1), {})
    real = stored._contents

    def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
        monkeypatch.undo()
        keep(tmp_path, 1, save(tmp_path, snapshot(2), {}))
        yield from real(folder)

    monkeypatch.setattr(stored, "_contents", contents)
    found = finds(tmp_path)
    if isinstance(found, tuple):
        assert found[1].remarks == ()
        assert found[1].snapshot.step == 2
    else:
        assert found == tmp_path / "step-00000002" / MODEL


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "missing") is None


def test_where_none_verifies_nobody_starts_anew_by_mistake(tmp_path: Path) -> None:
    for step in range(20):
        (save(tmp_path, snapshot(step), {}) / MODEL).unlink()
    with pytest.raises(FileError) as raised:
        newest(tmp_path)
    assert {each.code for each in raised.value.diagnostics} == {"AS552"}
    assert len(raised.value.diagnostics) == 9
    assert "step-00000019: model.safetensors is missing" in str(raised.value)


# -- saving


def test_a_step_that_is_saved_again_replaces_nothing_and_is_the_newest(tmp_path: Path) -> None:
    first = save(tmp_path, snapshot(5, size=2, again=False), {})
    paths = [save(tmp_path, snapshot(5, size=3, again=number), {}) for number in range(10)]
    assert first.name == "step-00000005"
    assert [path.name for path in paths] == [f"step-00000005-{number}" for number in range(2, 12)]
    assert loaded(tmp_path).state["again"] == 9
    assert of_step(tmp_path, 5) == paths[-1]
    assert of_step(tmp_path, 6) is None
    keep(tmp_path, 3, None)
    assert steps(tmp_path) == ["step-00000005-11"]


def test_a_step_whose_checkpoint_is_damaged_is_saved_again(tmp_path: Path) -> None:
    flipped(save(tmp_path, snapshot(5), {}) / MODEL)
    path = save(tmp_path, snapshot(5), {})
    found = newest(tmp_path)
    assert found is not None
    assert found[0] == path
    assert found[1].remarks == ()


def test_newest_is_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000, 5):
        save(tmp_path, snapshot(step), {})
    assert loaded(tmp_path).step == 100_000_000


@contextmanager
def limited(room: int) -> Iterator[None]:
    """No file may become larger than this: what the kernel says then is EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room", [0, 100, 700, 2000, 5000])
def test_a_file_that_cannot_grow_leaves_the_older_ones(tmp_path: Path, room: int) -> None:
    save(tmp_path, snapshot(1), {})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    refusal = pytest.raises(FileError, match=r"step 2 could not be written: File too large")
    with limited(room), refusal as raised:
        save(tmp_path, snapshot(2, size=1000), {})
    assert raised.value.diagnostics[0].code == "AS551"
    assert steps(tmp_path) == ["step-00000001"]
    assert {path: path.read_bytes() for path in before} == before
    save(tmp_path, snapshot(2, size=1000), {})
    assert loaded(tmp_path).step == 2


def test_a_full_disk_at_any_sync_leaves_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, snapshot(1), {})
    real = os.fsync
    for fails in range(len(FILES) + 1):
        calls = itertools.count()

        def fsync(descriptor: int, calls: Iterator[int] = calls, fails: int = fails) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and next(calls) == fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(FileError, match="No space left on device"):
            save(tmp_path, snapshot(2), {})
        assert steps(tmp_path) == ["step-00000001"]
    monkeypatch.undo()
    save(tmp_path, snapshot(2), {})
    assert sound(tmp_path) == ["step-00000001", "step-00000002"]


def test_every_file_and_folder_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real, rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    hidden = ""

    def renamed(before: Any, after: Any) -> None:
        nonlocal hidden
        hidden = str(before)
        events.append("renamed")
        rename(before, after)

    monkeypatch.setattr(os, "rename", renamed)
    save(tmp_path, snapshot(2), {})
    place = events.index("renamed")
    assert {each.rpartition("/")[2].rpartition(".")[0] for each in events[:place]} >= {
        f".{name}" for name in [*FILES, MANIFEST]
    }
    assert events[place - 1] == hidden
    assert events[place + 1 :] == [str(tmp_path)]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="AS551"):
        save(tmp_path / "file" / "checkpoints", snapshot(1), {})


def test_an_interrupt_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stored, "_manifest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, snapshot(1), {})
    assert steps(tmp_path) == []


# -- killed at any moment: what runs in another process


def die_at(folder: Path, event: int) -> None:
    """Saves and prunes, and is gone without a word at one of its system calls."""
    seen = itertools.count()

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        touches = name in {"open", "shutil.rmtree"} or (name.startswith("os.") and name != "os.listdir")
        if touches and str(folder) in str(arguments[0]) and next(seen) == event:
            os._exit(9)

    mine = snapshot(3)
    sys.addaudithook(audit)
    keep(folder, 2, save(folder, mine, {}))


def write_for_ever(folder: Path, start: int) -> None:
    for step in itertools.count(start):
        keep(folder, 2, save(folder, snapshot(step, size=60_000), {}))


@pytest.fixture(scope="module")
def other() -> Any:
    """How processes are started: forked from a fresh one that has imported this, in a few milliseconds each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def test_killed_at_any_system_call_nothing_is_lost(tmp_path: Path, other: Any) -> None:
    start = tmp_path / "start"
    for step in (1, 2):
        save(start, snapshot(step), {})
    keep(start, 2, start / "step-00000001")
    for event in itertools.count():
        folder = tmp_path / str(event)
        shutil.copytree(start, folder)
        process = other.Process(target=die_at, args=(folder, event))
        process.start()
        process.join()
        there = sound(folder)
        assert len(there) >= 2, event
        assert there == [path.name for path in sorted(folder.glob("step-*"))], "whatever has a name verifies"
        assert "step-00000002" in there
        assert loaded(folder).step in (2, 3)
        assert model_weights(folder).parent.name in there
        keep(folder, 2, None)
        assert not list(folder.glob(".*")), "what was left is swept"
        assert process.exitcode in (0, 9)
        if process.exitcode == 0:
            break
        shutil.rmtree(folder)
    assert event > 20


def test_killed_at_random_moments_nothing_is_lost(tmp_path: Path, other: Any) -> None:
    draw = random.Random(0)
    for step in (1, 2):
        save(tmp_path, snapshot(step), {})
    reached = 2
    for _ in range(20):
        process = other.Process(target=write_for_ever, args=(tmp_path, reached + 1))
        process.start()
        while loaded(tmp_path).step == reached and process.is_alive():
            time.sleep(0.005)
        time.sleep(draw.random() * 0.1)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        there = sound(tmp_path)
        assert len(there) >= 2
        assert there == [path.name for path in sorted(tmp_path.glob("step-*"))]
        found = newest(tmp_path)
        assert found is not None
        assert found[1].remarks == ()
        assert found[1].snapshot.step > reached
        assert_same(found[1].snapshot, snapshot(found[1].snapshot.step, size=60_000))
        reached = found[1].snapshot.step


# -- kept by rule


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(6)]
    keep(tmp_path, 2, paths[1])
    assert steps(tmp_path) == ["best.json", *(paths[place].name for place in (1, 4, 5))]
    assert model_weights(tmp_path) == paths[1] / MODEL


def test_without_a_new_best_the_old_one_stays_until_there_is_one(tmp_path: Path) -> None:
    best = save(tmp_path, snapshot(0), {})
    keep(tmp_path, 1, best)
    for step in (1, 2):
        save(tmp_path, snapshot(step), {})
        keep(tmp_path, 1, None)
    assert steps(tmp_path) == ["best.json", "step-00000000", "step-00000002"]
    keep(tmp_path, 1, save(tmp_path, snapshot(3), {}))
    assert steps(tmp_path) == ["best.json", "step-00000003"]


def test_the_newest_that_verifies_is_kept_whatever_is_newer(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(6)]
    for path in paths[3:]:
        flipped(path / MODEL)  # in full size: only its hash can tell
    keep(tmp_path, 1, None)
    assert steps(tmp_path) == ["step-00000002", "step-00000005"]


def test_what_is_not_whole_counts_for_nothing_and_goes_with_its_age(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(6)]
    for place in (1, 4):
        (paths[place] / STATE).unlink()
    keep(tmp_path, 3, None)
    assert steps(tmp_path) == [paths[place].name for place in (2, 3, 4, 5)]


def test_nothing_goes_while_there_are_few(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(3)]
    (paths[0] / STATE).unlink()
    keep(tmp_path, 3, None)
    assert len(steps(tmp_path)) == 3


def test_leftovers_are_swept_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    save(tmp_path, snapshot(1), {})
    for name in (".step-00000002.0123abcd", "notes", "step-five"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".best.json.xyz").touch()
    keep(tmp_path, 1, None)
    assert steps(tmp_path) == ["notes", "step-00000001", "step-five"]


# -- the weights of a run


def test_weights_are_found_in_whatever_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    best, last = (save(folder, snapshot(step), {}) for step in (1, 2))
    assert model_weights(tmp_path) == last / MODEL
    keep(folder, 2, best)
    assert model_weights(tmp_path) == model_weights(folder) == model_weights(best) == best / MODEL
    assert model_weights(last) == model_weights(last / MODEL) == last / MODEL
    shutil.copytree(last, tmp_path / "copy")
    assert model_weights(tmp_path / "copy") == tmp_path / "copy" / MODEL


def test_a_best_that_is_damaged_is_passed_over_and_said(tmp_path: Path) -> None:
    best, last = (save(tmp_path, snapshot(step), {}) for step in (1, 2))
    keep(tmp_path, 2, best)
    flipped(best / MODEL)
    said: list[str] = []
    assert model_weights(tmp_path, said.append) == last / MODEL
    assert said == ["step-00000001: model.safetensors has another SHA-256; using step-00000002"]
    flipped(last / MODEL)
    with pytest.raises(FileError, match="AS552"):
        model_weights(tmp_path)
    with pytest.raises(FileError, match=r"AS552 model\.safetensors has another SHA-256"):
        model_weights(best)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"checkpoint": "../../etc"}', '{"checkpoint": 3}', "[" * 4000]
)
def test_a_note_of_the_best_that_makes_no_sense_is_no_note(tmp_path: Path, text: str) -> None:
    last = save(tmp_path, snapshot(2), {})
    (tmp_path / "best.json").write_text(text)
    assert model_weights(tmp_path) == last / MODEL


def test_a_folder_without_checkpoints_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="AS552 the folder holds no checkpoint"):
        model_weights(tmp_path)
