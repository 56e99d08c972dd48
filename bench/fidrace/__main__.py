"""`python -m fidrace` is `fidrace`, for torchrun."""

from fidrace.cli.main import main

main()
