"""`python -m archspec`, which is how torchrun starts it."""

from archspec_cli import main

if __name__ == "__main__":
    main()
