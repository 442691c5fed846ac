"""All commands, declared."""
# the order of these lines is the order of the help
# ruff: noqa: I001

from archspec_cli.declarations.root import app
from archspec_cli.declarations import specs
from archspec_cli.declarations import weights
from archspec_cli.declarations import deploy
from archspec_cli.declarations import train
from archspec_cli.declarations import runs
from archspec_cli.declarations import studies
from archspec_cli.declarations import analysis
from archspec_cli.declarations import draw

__all__ = ["analysis", "app", "deploy", "draw", "runs", "specs", "studies", "train", "weights"]
