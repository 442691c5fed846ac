"""The middle of the compiler: a closed set of operations, and graphs of them with holes."""
