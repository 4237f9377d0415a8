"""Tests of what moves states: exports, pushes and pulls, keys and trust."""
