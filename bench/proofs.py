"""Runs the slow tests that rarely break: deeper models, more processes, third-party clients."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-m", "proof", *sys.argv[1:]]))
