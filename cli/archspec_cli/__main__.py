"""`python -m archspec_cli`."""

from archspec_cli import main

main()
