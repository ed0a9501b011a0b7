"""`python -m vmpz`."""

from vmpz.cli import main

main()
