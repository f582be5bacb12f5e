"""Benchmarks: `bin/bench NAME` runs `bench/NAME.py`. Modules that begin with an underscore are shared by several."""
