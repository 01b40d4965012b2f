"""``python -m cli``: the same as the console script."""

from cli.app import main

main()
