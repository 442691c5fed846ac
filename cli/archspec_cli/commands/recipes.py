"""`archspec train --show-schedule`: where the learning rate changes, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from archspec.recipes.schedule import epoch_steps, total_steps
from archspec.recipes.table import Row, table
from archspec_cli import output

if TYPE_CHECKING:
    from archspec.recipes.models import Recipe


def show_schedule(recipe: Recipe, *, images: int, as_json: bool) -> None:
    """Prints a recipe's schedule for so many images to train on, those held out not counted."""
    if images < 1:
        output.fail("no images are left to train on", f"data.split holds out {recipe.data.split:,}")
    steps = epoch_steps(recipe, images)
    if not steps:
        hint = 'say data.last = "keep", or a smaller data.batch'
        output.fail(f"{images:,} images make no whole batch of {recipe.data.batch:,}", hint)
    rows = table(recipe, steps_per_epoch=steps)
    total = total_steps(recipe, steps_per_epoch=steps)
    if as_json:
        output.emit_json(
            {
                "recipe": recipe.name,
                "images": images,
                "batch": recipe.data.batch,
                "steps_per_epoch": steps,
                "steps": total,
                "says": dict(recipe.says),
                "rows": [asdict(row) for row in rows],
            }
        )
        return
    lines = [
        f"{recipe.name}: {recipe.about}".rstrip(": "),
        "",
        output.table(["iteration", "epoch", "rate", ""], [_cells(row) for row in rows], left=0),
        "",
        f"{total:,} steps of {recipe.data.batch} images, {steps:,} an epoch of {images:,} images: "
        f"{total / steps:.1f} epochs.",
    ]
    lines += ["", "What the source leaves open:"] if recipe.says else []
    lines += [f"  {topic}: {sentence}" for topic, sentence in recipe.says.items()]
    output.tell("\n".join(lines))


def _cells(row: Row) -> list[str]:
    epoch = "-" if row.epoch is None else f"{row.epoch:.1f}"
    return ["-" if row.iteration is None else f"{row.iteration:,}", epoch, f"{row.lr:.6g}", row.note]
