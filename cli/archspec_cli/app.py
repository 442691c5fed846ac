"""All commands, declared."""
# the order of these lines is the order of the help
# ruff: noqa: I001

from archspec_cli.declarations.root import app
from archspec_cli.declarations import specs
from archspec_cli.declarations import weights
from archspec_cli.declarations import deploy
from archspec_cli.declarations import train

__all__ = ["app", "deploy", "specs", "train", "weights"]
