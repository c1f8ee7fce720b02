"""`python -m waypost` is `waypost`."""

from waypost.cli.main import app

if __name__ == "__main__":
    app()
