"""A protocol card as Markdown. What a run's files say comes from strangers: no word of it is more than a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archspec.passes.measure import CONVENTION
from archspec.runs.card import command_line
from archspec.runs.deviations import normalises_batches, protocol_of
from archspec.runs.folder import ResultTold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.runs.card import Against, Card, Figure, Progress
    from archspec.runs.folder import RunFolder, RunTold

LONGEST = 600
_MEANING = re.compile(r"[\\`*_{}\[\]<>#|!&~$@^]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def escaped(text: str) -> str:
    """A stranger's words within a line, with nothing in them that Markdown, HTML or a terminal would act on."""
    words = " ".join(text.split())
    words = words if len(words) <= LONGEST else f"{words[:LONGEST]}..."
    seen = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)
    return _MEANING.sub(lambda match: f"\\{match[0]}", seen)


def fenced(text: str, language: str) -> str:
    """A block that its text cannot close; what cannot be printed is written as TOML and bash escape it."""
    fence = "```"
    while fence in text:
        fence += "`"
    seen = "".join(char if char.isprintable() or char in "\n\t" else f"\\U{ord(char):08x}" for char in text)
    return f"{fence}{language}\n{seen.rstrip()}\n{fence}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as they are: whoever fills them escapes them."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def items(lines: Sequence[str]) -> str:
    """A list."""
    return "\n".join(f"- {line}" for line in lines)


def markdown(card: Card) -> str:
    """The whole card."""
    told = card.job.told
    sections = [
        f"# {escaped(card.title)}",
        _headline(card),
        f"## Runs\n\n{_runs(card)}",
        f"## Against the paper\n\n{_paper(card)}",
        f"## Deviations from the paper\n\n{deviations_section(card)}",
        f"## Left open by the paper\n\n{readings_section(card)}",
        f"## Network\n\n{_network(card)}",
        f"## Recipe\n\n{recipe_section(card)}",
        f"## Data\n\n{data_section(card)}",
        f"## Computation\n\n{computation_section(card, _batch_norm(card))}",
        f"## To repeat it\n\n{repeat_section(card)}",
        f"## Spec, resolved\n\n{fenced(told.spec.text, 'toml')}",
        f"## Recipe, resolved\n\n{fenced(told.recipe.text, 'toml')}",
    ]
    return "\n\n".join(sections) + "\n"


def percent(share: float | None) -> str:
    """A share as people read it."""
    return "-" if share is None else f"{100 * share:.2f} %"


def spread_words(figure: Figure) -> str:
    """Mean, deviation and best, in per cent."""
    if figure.std is None:
        return percent(figure.mean)
    return f"{100 * figure.mean:.2f} ± {100 * figure.std:.2f} % (best {100 * figure.best:.2f} %)"


def _headline(card: Card) -> str:
    return items([*_figures(card), *_choice(card)])


def unfinished(card: Card) -> Iterator[str]:
    """How many runs have ended, where not all have."""
    ended, every = len(card.ended), len(card.runs)
    if ended < every:
        which = "No run has ended" if every > 1 else "The run has not ended"
        yield f"**Unfinished.** {f'{ended} of {every} runs have ended' if ended else which}; see below how far."


def seeds(card: Card) -> Iterator[str]:
    """Speed, and of how many runs the figures are."""
    ended = len(card.ended)
    speed = card.figure("images_per_second")
    if speed is not None:
        yield f"Training speed: {speed.mean:,.0f} images/s" + (" on average" if ended > 1 else "")
    if ended > 1:
        yield (
            f"mean ± sample standard deviation (ddof = 1) of n = {ended} seeds. The best is one of the {ended}, picked "
            "by the figure itself: it is no estimate of what another run gives."
        )
    elif ended == 1:
        yield "One seed, so no spread is known."


def _figures(card: Card) -> Iterator[str]:
    yield from unfinished(card)
    names = {"test_error": "Test error", "test_accuracy": "Test accuracy"}
    if card.job.told.data.classes >= 100:
        names["top5_error"] = "Test error, top-5"
    names["validation_error"] = "Validation error that chose the network"
    for name, words in names.items():
        figure = card.figure(name)
        if figure is not None:
            bold = "**" if name == "test_error" else ""
            yield f"{bold}{words}: {spread_words(figure)}{bold}"
    yield from seeds(card)


def _choice(card: Card) -> Iterator[str]:
    if card.job.told.data.validation is None:
        yield "No images are held out, so nothing is chosen: the network of the last step is the one tested."
    else:
        yield (
            "Of each run the network with the lowest validation error at the end of an epoch is tested, once. No "
            "network is chosen by its test error."
        )
    if card.views:
        yield f"Tested on {card.job.told.data.test or 0:,} images: {escaped('; '.join(card.views))}."


def _runs(card: Card) -> str:
    header = ["seed", "test error", "test accuracy", "validation error", "tested step"]
    header += ["training error", "images/s", "trained for"]
    rows = [_run(run, run.told) for run in card.runs if run.told is not None]
    parts = [table(header, rows)]
    parts += [items([how_far(each, _known(each)) for each in card.going])] if card.going else []
    return "\n\n".join(parts)


def _run(run: RunFolder, told: RunTold) -> list[str]:
    result = run.result
    if not isinstance(result, ResultTold):
        return [str(told.seed), "not ended", *["-"] * 6]
    best = None if result.best_val_accuracy is None else 1 - result.best_val_accuracy
    return [
        str(told.seed),
        percent(result.test.top1.error),
        percent(result.test_accuracy),
        percent(best),
        f"{result.tested_step:,} of {result.steps:,}",
        percent(result.final_train_error),
        f"{result.images_per_second:,.0f}" if result.images_per_second else "-",
        duration(result.seconds),
    ]


def duration(seconds: float) -> str:
    """Seconds, minutes, or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 120 else f"{minutes} min"


def how_far(progress: Progress, known: Sequence[str]) -> str:
    """Of a run that has not ended, and what is known of its last whole epoch."""
    share = progress.step / progress.steps if progress.steps else 0
    after = f"; after its last whole epoch: {', '.join(known)}" if known else ""
    return f"Seed {progress.seed}: step {progress.step:,} of {progress.steps:,} ({share:.0%}){after}."


def _known(progress: Progress) -> list[str]:
    named = (("training", progress.train_error), ("validation", progress.validation_error))
    return [f"{name} error {percent(value)}" for name, value in named if value is not None]


def _paper(card: Card) -> str:
    name = escaped(card.job.told.data.name)
    if not card.held.in_paper:
        return f"The set {name} is not in the paper, so no figure of the paper's can be compared with those here."
    if not card.against:
        return f"The paper prints no error of this network on {name}."
    readings = sum(each.open for each in card.deviations)
    yes = "yes" + (
        f", but for {readings} other reading{'s' * (readings > 1)} of what it leaves open" if readings else ""
    )
    rows = [_printed(each, yes) for each in card.against]
    return table(["the paper's", "test error", "here minus the paper's", "comparable"], rows)


def _printed(against: Against, yes: str) -> list[str]:
    printed = against.printed
    error = f"{printed.error:.2f} %"
    if printed.mean is not None:
        error = f"{printed.mean:.2f} ± {printed.std:.2f} %, best {error}, {printed.runs} runs"
    error += "" if printed.top5 is None else f", top-5 {printed.top5:.2f} %"
    difference = "-" if against.difference is None else f"{against.difference:+.2f} points"
    if against.difference is not None and printed.mean is not None:
        difference += " (of the means)"
    if against.top5_difference is not None:
        difference += f", top-5 {against.top5_difference:+.2f}"
    why = f"not comparable: {escaped(against.why_not)}" if against.why_not else yes
    return [f"{against.net}, {printed.place}", error, difference, why]


def deviations_section(card: Card) -> str:
    """What is against the paper."""
    rows = [
        [each.about, escaped(each.field), escaped(each.here), escaped(each.paper), escaped(each.source)]
        for each in card.deviations
        if not each.open
    ]
    held = card.held
    against = (
        f"Held against {held.protocol.title} of He et al. 2015 (arXiv 1512.03385), the recipe {held.recipe}"
    )
    if not held.in_paper:
        against += ", the nearest that the paper has"
    if not rows:
        return f"{against}: none."
    return f"{against}.\n\n" + table(["", "field", "here", "the paper", "where"], rows)


def readings_section(card: Card) -> str:
    """What the paper leaves open, and was read in another way."""
    rows = [
        [each.about, escaped(each.field), escaped(each.here), escaped(each.paper), escaped(each.source)]
        for each in card.deviations
        if each.open
    ]
    if not rows:
        return "Nothing is read in another way than archspec's own recipe and specs of the paper do."
    words = (
        "Other readings here than in archspec's own recipe and specs of the paper; none is against the paper."
    )
    return f"{words}\n\n" + table(["", "field", "here", "the paper's, as archspec reads it", "why"], rows)


def _network(card: Card) -> str:
    told, total = card.job.told.spec, card.job.architecture.measure.total
    shape = "x".join(map(str, card.job.architecture.input_shape))
    lines = [
        f"Name: {escaped(told.name)}. Function: `{told.hash}`.",
        f"{total.layers:,} weighted layers, {total.params:,} parameters, {total.macs:,} multiply-adds for an image of "
        f"{shape} ({escaped(CONVENTION)}).",
    ]
    equal = [each for each in card.shipped if each.same_function]
    for each in equal or card.shipped:
        same = "the same function" if each.same_function else "another function"
        fields = "; ".join(
            f"{escaped(name)} {escaped(here)} (there {escaped(there)})" for name, here, there in each.fields
        )
        lines.append(
            f"The shipped spec {each.name} is {same}"
            + (f". Here: {fields}." if fields else ", field by field.")
        )
    if not card.shipped:
        lines.append("No spec of that name ships with archspec.")
    return items(lines)


def recipe_section(card: Card) -> str:
    """The recipe, whether it is as it ships, and what it says of itself."""
    told, recipe = card.job.told.recipe, card.job.recipe
    lines = [f"Name: {escaped(told.name)}. Digest: `{told.digest}`."]
    lines += [f"Source: {escaped(recipe.source)}."] if recipe.source else []
    if card.changed is None:
        lines.append("No recipe of that name ships with archspec.")
    elif not card.changed:
        lines.append("As it ships with archspec, unchanged.")
    else:
        fields = "; ".join(
            f"{escaped(name)} {escaped(here)} (there {escaped(there)})" for name, here, there in card.changed
        )
        lines.append(f"Changed from the recipe that ships under that name: {fields}.")
    if not recipe.says:
        return items(lines)
    of = "the recipe as it ships says" if card.changed else "the recipe says"
    says = [f"{escaped(topic)}: {escaped(words)}" for topic, words in recipe.says.items()]
    return f"{items(lines)}\n\nWhat its source leaves open and what was chosen, {of}:\n\n{items(says)}"


def data_section(card: Card) -> str:
    """The set and its parts."""
    data = card.job.told.data
    shape = "pictures of many sizes" if data.shape is None else f"images of {'x'.join(map(str, data.shape))}"
    tested = card.held.protocol.tested if card.held.in_paper else ""
    held = "none for validation" if data.validation is None else f"{data.validation:,} for validation"
    test = "none with objects" if data.test is None else f"{data.test:,}"
    return (
        f"Set: {escaped(data.name)}. {data.train:,} images for training, {held}, {test} for testing; {shape}, "
        f"{data.classes:,} classes." + (f" {tested}" if tested else "")
    )


def _batch_norm(card: Card) -> list[list[str]]:
    what, protocol = "images that one BN layer sees together", protocol_of(card.job)
    if not normalises_batches(card.job):
        return [[what, "the network has no BN"]]
    return [
        [what, f"{card.job.told.batch_norm_images:,}"],
        ["the same in the paper", f"{protocol.batch_norm_images:,}, {escaped(protocol.batch_norm)}"],
    ]


def computation_section(card: Card, batch_norm: Sequence[Sequence[str]]) -> str:
    """What computed it."""
    recipe = card.job.recipe
    runs = [run.told for run in card.runs if run.told is not None]

    def distinct(name: str) -> str:
        return escaped(card.distinct((told.seed, _plain(getattr(told.terms, name))) for told in runs))

    rows = [
        ["device", f"{distinct('device')}: {distinct('device_name')}"],
        ["threads", distinct("threads")],
        ["ranks, nodes", f"{distinct('ranks')}, {distinct('nodes')}"],
        ["parallel", distinct("parallel")],
        ["precision", recipe.train.precision],
        ["parts of a batch, one after the other (train.accumulate)", f"{recipe.train.accumulate:,}"],
        ["torch.compile", distinct("compile")],
        ["channels-last", distinct("channels_last")],
        ["workers", distinct("workers")],
        ["SyncBN", distinct("sync_bn")],
    ]
    rows += map(list, batch_norm)
    names = dict.fromkeys(name for told in runs for name in told.versions)
    rows += [
        [
            escaped(name),
            escaped(card.distinct((told.seed, told.versions.get(name) or "none") for told in runs)),
        ]
        for name in names
    ]
    return table(["", ""], rows)


def _plain(value: str | float | None) -> str:
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def repeat_section(card: Card) -> str:
    """The commands."""
    runs = [run.told for run in card.runs if run.told is not None]
    commands = dict.fromkeys(command_line(told.command) for told in runs)
    started = "; ".join(f"seed {told.seed} at {told.started}" for told in runs)
    seeds = ", ".join(str(told.seed) for told in runs)
    version = escaped(card.distinct((told.seed, told.versions.get("archspec") or "unknown") for told in runs))
    return (
        f"With archspec {version}, and another folder behind --out:\n\n{fenced(chr(10).join(commands), 'sh')}\n\n"
        f"Seeds: {seeds}. Started: {escaped(started)}. Equal bits are promised on an equal machine with "
        "equal versions, not across them."
    )
