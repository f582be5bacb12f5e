"""The tests that take long and break seldom: deeper models, more processes, other people's clients."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-m", "proof", *sys.argv[1:]]))
