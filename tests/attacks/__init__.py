"""Attacks that once worked, each with variations of its kind."""
