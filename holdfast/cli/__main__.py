"""`python -m holdfast.cli` is the `holdfast` command, for places without its script on the path."""

from holdfast.cli import main

main()
