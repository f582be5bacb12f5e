"""Run the slow tests that rarely break: models, processes, published clients."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-m", "proof", *sys.argv[1:]]))
