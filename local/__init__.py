"""The portal on one machine: what `bin/` runs. Standard library only: it works before anything is set up."""
