"""Runs the command line."""

from __future__ import annotations

from mock_data.cli import app

if __name__ == "__main__":
    app(prog_name="python -m mock_data")
