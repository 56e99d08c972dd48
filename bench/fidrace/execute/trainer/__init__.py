"""Runs that somebody else's command trains: the process, its checkpoints, and what is measured of them."""
