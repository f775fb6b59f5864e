"""`python -m sambench` is `sambench`."""

from sambench.cli import main

main()
