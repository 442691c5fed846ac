"""`archspec responses` and `archspec inspect`: what they tell, draw and refuse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import torch
from archspec_cli import output
from archspec_cli.commands import inspect as inspecting
from archspec_cli.commands import responses as responding

import archspec
from archspec import provenance
from archspec.analysis.figure import draw_responses
from archspec.analysis.findings import CRITERION
from archspec.analysis.layers import layers
from archspec.analysis.responses import Responses
from archspec.data import synthetic
from archspec.deploy.proof import initial
from archspec.errors import FileError, SpecError
from archspec.train.checkpoint import Snapshot, save
from archspec.train.contenders import DATA
from archspec.train.evaluate import prepared
from archspec.weights.files import write_weights
from tests.analysis.nets import layer
from tests.cli.running import cli
from tests.train.nets import HEADS, Net, net
from tests.train.nets import load as load_net
from tests.train.test_eval_command import PREPARED, SAID, diagnosed, stored
from tests.weights.making import trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

__all__ = ["cli"]
PLAIN = (
    HEADS["global"].replace('shortcut = "A"', 'shortcut = "none"').replace('name = "net"', 'name = "plain"')
)
POINTED = (
    HEADS["global"]
    .replace("conv = 3", "conv = 1")
    .replace("[[stages]]", '[blocks.dot]\nlayers = [{ conv = 1, out = "width" }]\n[[stages]]', 1)
    .replace('block = "basic"', 'block = "dot"')
)


@pytest.fixture
def calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Any], Run]:
    """Of a command's module, how it is called: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def of(module: Any) -> Run:
        def call(*named: Any, as_json: bool = False, **options: Any) -> tuple[int, str, str]:
            monkeypatch.setattr(output.settings, "json", as_json)
            code = 0
            try:
                module.run(named, module.Asked(**options), as_json=as_json)
            except SystemExit as ended:
                code = int(ended.code or 0)
            said = capsys.readouterr()
            return code, said.out, said.err

        return call

    return of


@pytest.fixture
def responses(calls: Callable[[Any], Run]) -> Run:
    return calls(responding)


@pytest.fixture
def inspect(calls: Callable[[Any], Run]) -> Run:
    return calls(inspecting)


def folder(path: Path, made: Net) -> Path:
    """A run's folder with one checkpoint."""
    stamp = {**provenance.stamp(made.architecture), **SAID, DATA: "synthetic"}
    save(path / "checkpoints", Snapshot(3, dict(made.module.state_dict()), {}, {}, {}), stamp)
    return path


def plain(tmp_path: Path) -> Net:
    architecture = load_net(tmp_path, PLAIN)
    return Net(architecture, trained(archspec.build(architecture, init=False)))


# responses


def test_the_responses_are_those_of_a_loop_written_by_hand(tmp_path: Path, responses: Run) -> None:
    made = net(tmp_path)
    code, out, _ = responses(folder(tmp_path / "run", made), as_json=True, images=100, batch=30)
    assert code == 0
    told = json.loads(out)
    seen: dict[str, list[torch.Tensor]] = {}
    for name, module in made.module.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d) and "downsample" not in name:
            module.register_forward_hook(
                lambda _, __, value, name=name: seen.setdefault(name, []).append(value.clone())
            )
    pixels = synthetic.make((3, 16, 16), 7).test.pixels[::10]
    with torch.no_grad():
        made.module(prepared(PREPARED)(pixels))
    (one,) = told["networks"]
    assert [each["at"] for each in one["layers"]] == list(seen)
    assert len(seen) == 5
    for each in one["layers"]:
        wanted = torch.cat(seen[each["at"]]).double().std(correction=0).item()
        assert each["std"] == pytest.approx(wanted, rel=1e-5)
    assert one["measured"] == "after batch normalisation"
    assert (told["statistics"], told["findings"]) == ("running", [])
    assert told["data"] == {"name": "synthetic", "place": "made up", "split": "test", "images": 100}


def test_people_read_tables_and_findings(tmp_path: Path, responses: Run) -> None:
    one, other = folder(tmp_path / "a", plain(tmp_path)), folder(tmp_path / "b", net(tmp_path))
    code, out, err = responses(one, other, images=50)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "synthetic, test: 50 images"
    assert "over all values (images, channels and places together)" in lines[1]
    assert lines[4].split() == ["layers", "measured", "median", "mean", "largest"]
    assert "Figure 7, residual nets have smaller responses than plain nets: " in out
    assert "deeper residual nets" not in out
    assert f"Criterion: {CRITERION}." in out


def test_two_runs_of_one_net_are_told_apart_by_their_folders(tmp_path: Path, responses: Run) -> None:
    made = net(tmp_path)
    paths = [folder(tmp_path / name, made) for name in ("a", "b")]
    code, out, _ = responses(*paths, paths[0], as_json=True, images=20)
    assert code == 0
    assert [each["label"] for each in json.loads(out)["networks"]] == ["net, a", "net, b", "net, a (2)"]


def test_the_figure_is_the_same_bytes_and_names_are_no_markup(tmp_path: Path, responses: Run) -> None:
    run = folder(tmp_path / "run", net(tmp_path))
    several = (Responses("<b>$x$</b>\x1b", True, (layer("a"), layer("b")), (0.0, 0.0), (1.0, 2.0)),)
    for name in ("a", "b"):
        assert responses(run, images=20, output=tmp_path / f"{name}.svg")[0] == 0
        draw_responses(several, tmp_path / f"hostile-{name}.svg", title="$\\frac{1}")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    texts = [
        "".join(each.itertext())
        for each in ET.parse(tmp_path / "hostile-a.svg").iter()
        if each.tag.endswith("text")
    ]
    assert "<b>$x$</b>" in texts
    assert "layer index (original)" in texts
    assert "layer index (sorted by magnitude)" in texts
    assert responses(run, images=20, output=tmp_path / "a.png")[0] == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "responses.pdf"}, "a figure is no .pdf file"),
        ({"batch_statistics": True, "batch": 1}, "are of two images at least"),
        ({"device": "abacus"}, 'no device "abacus"'),
        ({"y_max": 0.0, "output": "a.svg"}, "--y-max 0 is no standard deviation"),
    ],
)
def test_what_responses_cannot_do_is_said(
    options: dict[str, Any], message: str, tmp_path: Path, responses: Run
) -> None:
    if "output" in options:
        options = {**options, "output": tmp_path / options["output"]}
    code, out, err = responses(folder(tmp_path / "run", net(tmp_path)), **options)
    assert (code, out) == (2, "")
    assert message in err


def test_nets_without_3x3_layers_and_weights_without_data_are_refused(tmp_path: Path, responses: Run) -> None:
    architecture = load_net(tmp_path, POINTED)
    made = Net(architecture, trained(archspec.build(architecture, init=False)))
    path = folder(tmp_path / "run", made)
    code, _, err = responses(path)
    assert code == 2
    assert "net has no 3x3 convolution\n  = help: --all looks at all convolutions" in err
    assert responses(path, every=True, images=20)[0] == 0
    code, _, err = responses(stored(net(tmp_path), tmp_path / "net.safetensors"))
    assert code == 2
    assert "no data set is named" in err


def test_odd_checkpoints_are_diagnosed(tmp_path: Path, responses: Run) -> None:
    made = net(tmp_path)
    good = stored(made, tmp_path / "good")
    assert diagnosed(responses, tmp_path / "none.safetensors")[0].startswith("AS501")
    (tmp_path / "torn").write_bytes(good.read_bytes()[:500])
    assert diagnosed(responses, tmp_path / "torn")[0].startswith("AS501")
    (tmp_path / "empty").mkdir()
    assert diagnosed(responses, tmp_path / "empty") == ["AS552 the folder holds no checkpoint"]
    write_weights(tmp_path / "nameless", {"a": torch.zeros(1).numpy()}, {})
    assert diagnosed(responses, tmp_path / "nameless")[0].startswith("AS503 the file does not say which spec")
    assert diagnosed(responses, good, data="digits") == [
        "AS522 the network tells 7 classes apart, but digits has 10"
    ]
    assert diagnosed(responses, good, data="synthetic", split="validation") == [
        "AS531 synthetic has no images for validation"
    ]
    silent = stored(made, tmp_path / "silent", {})
    assert diagnosed(responses, silent, data="synthetic")[0].startswith(
        "AS522 the file does not say how pictures"
    )
    with torch.no_grad():
        for each in made.module.parameters():
            each.mul_(1e30)
    (wild,) = diagnosed(responses, stored(made, tmp_path / "wild"), data="synthetic", images=20)
    assert wild.startswith("AS523 the output of ")
    assert wild.endswith(" holds values that are not finite numbers")


# inspect


def test_a_spec_is_inspected_at_its_initialisation(tmp_path: Path, inspect: Run) -> None:
    (tmp_path / "net.toml").write_text(HEADS["global"])
    code, out, err = inspect("net.toml", as_json=True, seed=4, batch=8)
    assert code == 0, err
    told = json.loads(out)
    (one,) = told["networks"]
    (state,) = one["states"]
    assert (state["state"], one["seed"], one["images"], one["data"]) == (
        "at initialisation",
        4,
        8,
        "synthetic",
    )
    architecture = archspec.load(tmp_path / "net.toml")
    assert [each["name"] for each in state["layers"]] == [each.name for each in layers(architecture)]
    weights = initial(architecture, 4)
    for each in state["layers"]:
        norm = float((weights[f"{each['name']}.weight"].astype("float64") ** 2).sum() ** 0.5)
        assert each["weight_norm"] == pytest.approx(norm, rel=1e-9)
        assert each["gradient_to_weight"] == pytest.approx(each["weight_gradient_norm"] / norm)
    assert state["forward"]["verdict"] == state["backward"]["verdict"] == state["verdict"] == "healthy"
    assert "1,000" in told["criterion"]


def test_a_run_is_inspected_before_and_after_training(tmp_path: Path, inspect: Run) -> None:
    made = net(tmp_path)
    run = folder(tmp_path / "run", made)
    code, out, err = inspect(str(run), "net.toml", as_json=True, output=tmp_path / "signals.svg")
    assert code == 0, err
    one, other = json.loads(out)["networks"]
    assert [each["state"] for each in one["states"]] == ["at initialisation", "after training"]
    assert [each["state"] for each in other["states"]] == ["at initialisation"]
    trained_norm = float(made.module.state_dict()["conv1.weight"].norm())
    assert one["states"][1]["layers"][0]["weight_norm"] == pytest.approx(trained_norm, rel=1e-6)
    assert one["states"][0]["layers"][0]["weight_norm"] == other["states"][0]["layers"][0]["weight_norm"]
    first = (tmp_path / "signals.svg").read_bytes()
    assert inspect(str(run), "net.toml", output=tmp_path / "signals.svg")[0] == 0
    assert (tmp_path / "signals.svg").read_bytes() == first
    texts = {"".join(each.itertext()) for each in ET.fromstring(first).iter() if each.tag.endswith("text")}
    assert {"at initialisation", "after training", "std of activations", "std of gradients"} <= texts
    code, out, _ = inspect(str(run), when="trained")
    assert code == 0
    assert "at initialisation" not in out
    assert "net, after training: " in out
    assert "Criterion: a straight line" in out


def test_gradients_that_are_no_numbers_are_told_and_drawn(tmp_path: Path, inspect: Run) -> None:
    wild = net(tmp_path)
    with torch.no_grad():
        for each in wild.module.parameters():
            each.mul_(1e30)
    run = folder(tmp_path / "run", wild)
    code, out, err = inspect(str(run), when="trained", as_json=True, output=tmp_path / "signals.svg")
    assert code == 0, err
    (state,) = json.loads(out)["networks"][0]["states"]
    assert state["verdict"] == "exploding"
    assert state["loss"] is None
    assert state["forward"]["first_not_finite"] is not None
    assert "exploding: activations" in inspect(str(run), when="trained")[1]


@pytest.mark.parametrize(
    ("named", "options", "message"),
    [
        ("net.toml", {"when": "trained"}, '"net.toml" is a spec, which nobody has trained'),
        ("net.toml", {"output": "signals.gif"}, "a figure is no .gif file"),
        ("net.toml", {"device": "abacus"}, 'no device "abacus"'),
        ("net.safetensors", {}, "no data set is named"),
    ],
)
def test_what_inspect_cannot_do_is_said(
    named: str, options: dict[str, Any], message: str, tmp_path: Path, inspect: Run
) -> None:
    stored(net(tmp_path), tmp_path / "net.safetensors")
    if "output" in options:
        options = {**options, "output": tmp_path / options["output"]}
    code, out, err = inspect(named, **options)
    assert (code, out) == (2, "")
    assert message in err


def test_odd_files_are_diagnosed_by_inspect_too(tmp_path: Path, inspect: Run) -> None:
    net(tmp_path)
    with pytest.raises(SpecError):
        inspect("nothing-of-this-name")
    with pytest.raises(FileError, match="AS501"):
        inspect("none.safetensors")
    with pytest.raises(FileError, match="AS541 the network tells 7 classes apart, and digits has 10"):
        inspect("net.toml", data="digits")
    with pytest.raises(FileError, match="AS531"):
        inspect("net.toml", data="moon")


def test_both_are_commands(cli: Callable[..., Any], tmp_path: Path) -> None:
    run = folder(tmp_path / "run", net(tmp_path))
    told = cli("responses", str(run), "--images", "20", "--json")
    assert (told.code, len(told.json["networks"])) == (0, 1)
    inspected = cli("inspect", "cifar/resnet20", "--set", "n=1", "--data", "digits", "--batch", "4", "--json")
    assert inspected.code == 0
    assert inspected.json["networks"][0]["data"] == "digits"
    refused = cli("inspect", "none.safetensors").harmless()
    assert refused.code == 2
    assert "AS501" in refused.err
