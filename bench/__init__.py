"""Benchmarks.

`bin/bench NAME` runs `bench/NAME.py`; modules with a leading underscore are shared.
"""
