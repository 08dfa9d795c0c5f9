"""`python -m migctl`: the command line."""

from migctl.cli.main import main

main()
