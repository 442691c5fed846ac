"""Exports every shipped spec at the size it is declared for, and prints what its proof found."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import archspec
from archspec.deploy.export import Order, export
from archspec.deploy.proof import initial
from archspec.spec.library import shipped_names


def main() -> None:
    """One line a spec: nodes, the worst error and where, torch's own rounding there, the share of equal classes."""
    print("| spec | nodes | worst relative error | torch's own rounding there | same class |")
    print("|---|---|---|---|---|")
    for name in sys.argv[1:] or shipped_names():
        one = archspec.load(name)
        with tempfile.TemporaryDirectory() as folder:
            done = export(one, initial(one), Path(folder, "model.onnx"), Order())
        assert done.proof is not None
        worst = done.proof.worst
        rounding = f"{worst.rounding:.1e}" if worst.rounding else "not looked at"
        where = f"{worst.weights} weights, batch {worst.batch}"
        print(
            f"| {name} | {done.nodes} | {worst.relative:.1e} ({where}) | {rounding} | {done.proof.agreement:.1%} |",
            flush=True,
        )


main()
