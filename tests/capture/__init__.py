"""Tests of capture and restore."""
