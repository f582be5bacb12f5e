"""Texts in all scripts: characters as people count them, and direction."""
