"""Commands behind `bin/`.

Standard library only, because they run before anything is installed.
"""
