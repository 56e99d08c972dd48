"""`python -m bench` is `fidrace`, for torchrun."""

from bench.cli import main

main()
