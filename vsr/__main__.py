"""`python -m vsr` is `vsr`."""

from vsr.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
