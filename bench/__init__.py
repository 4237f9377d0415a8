"""Measurements of stillframe beside its peers, and a soak of it.

`python -m bench` writes docs/benchmarks.md, `python -m bench.soak` writes docs/soak.md.
"""
