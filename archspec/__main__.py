"""`python -m archspec` is the command line."""

from importlib import import_module

# by name: the library does not depend on the command line above it
import_module("archspec_cli").main()
