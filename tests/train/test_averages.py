"""The network that is tested: averages of weights, true averages in BN, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

import archspec
from archspec.train.contenders import Asked, contender
from archspec.train.loop import Terms, Trainer
from archspec.train.run import run
from tests.train.running import feeds, job, net, of_module, task, weights

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.train.run import Job


def states(of: Job, steps: int) -> list[dict[str, Tensor]]:
    """What a network is at the start and after each step, without averages."""
    torch.manual_seed(0)
    network = archspec.build(net())
    found = [{name: value.clone() for name, value in network.state_dict().items()}]
    fed = feeds(of).train
    trainer = Trainer(of_module(network, of.task.recipe), Terms(), len(fed))
    for step in range(steps):
        epoch, place = divmod(step, trainer.steps_per_epoch)
        trainer.step(next(fed.training(epoch, start=place)))
        found.append({name: value.clone() for name, value in trainer.network.state_dict().items()})
    return found


def test_the_average_of_weights_is_a_loop_over_them(tmp_path: Path) -> None:
    run(job(tmp_path, "train.ema=0.8", "schedule.total=1"))
    first, *later = states(job(tmp_path, "schedule.total=1"), 4)
    average = {name: value.double() for name, value in first.items()}
    for state in later:
        average = {name: 0.8 * value + 0.2 * state[name].double() for name, value in average.items()}
    for name, tested in weights(tmp_path, 4).items():
        running = "running" in name or "num_batches" in name
        expected = later[-1][name].double() if running else average[name]
        torch.testing.assert_close(tested, expected, rtol=1e-5, atol=1e-7, msg=name)


def population(network: nn.Module, batches: list[Tensor]) -> dict[str, Tensor]:
    """Mean and variance of everything that each BN layer is given, in double precision, from the values themselves."""
    given: dict[str, list[Tensor]] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            given[name] = []
            layer.register_forward_pre_hook(
                lambda _, images, name=name: given[name].append(images[0].double())
            )
    network.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
    found = {}
    for name, several in given.items():
        values = torch.cat([each.transpose(0, 1).flatten(1) for each in several], dim=1)
        found[f"{name}.running_mean"], found[f"{name}.running_var"] = (
            values.mean(1),
            values.var(1, correction=0),
        )
    return found


@pytest.mark.parametrize(("images", "batches"), [(16, 1), (33, 3), (1000, 4)])
def test_precise_bn_is_the_population(images: int, batches: int, tmp_path: Path) -> None:
    """Of whole batches, the last one of an epoch, which is smaller, included."""
    of = job(tmp_path, f"train.precise_bn={images}", "schedule.total=1")
    run(of)
    network = archspec.build(net(), init=False)
    network.load_state_dict(states(of, 4)[-1])
    measured = [batch.images for batch in feeds(of).train.training(0)][:batches]
    expected = population(network, measured)
    tested = weights(tmp_path, 4)
    assert sum(len(each) for each in measured) == min(60, 16 * batches)
    for name, value in expected.items():
        torch.testing.assert_close(tested[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_the_figure_is_of_the_network_that_is_stored(tmp_path: Path) -> None:
    of = job(tmp_path, "train.precise_bn=60", "train.ema=0.5")
    result = run(of)
    assert result is not None
    network = archspec.build(net(), init=False)
    network.load_state_dict({k: v.float() for k, v in weights(tmp_path, result.tested_step).items()})
    network.eval()
    with torch.no_grad():
        right = sum(int((network(b.images).argmax(1) == b.labels).sum()) for b in feeds(of).test.testing())
    assert result.test.value == right / len(task(of).splits.test)
    assert contender(tmp_path, Asked()).weights.file.endswith(
        f"step-{result.tested_step:08d}/model.safetensors"
    )


def test_training_does_not_notice_the_tests(tmp_path: Path) -> None:
    """Averages, precise BN and validations come and go; the trained weights are those of a run without any."""
    run(job(tmp_path / "averages", "train.precise_bn=60", "train.ema=0.5", every=3))
    plain = job(tmp_path / "plain")
    from archspec.train.checkpoint import newest

    found = newest(tmp_path / "averages" / "checkpoints")
    assert found is not None
    last = states(plain, 8)[-1]
    extra = found[1].snapshot.extra
    assert all(torch.equal(extra[f"trained.{name}"], value) for name, value in last.items())
