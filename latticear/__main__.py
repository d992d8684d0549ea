"""`python -m latticear`."""

from latticear.cli import app

if __name__ == "__main__":
    app()
