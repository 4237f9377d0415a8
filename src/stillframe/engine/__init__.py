"""Holds states as processes, and runs cells in them."""
