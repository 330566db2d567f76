"""`python -m acme` is `acme`."""

from acme.cli import main

main()
