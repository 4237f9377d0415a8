"""The demo does what it says, leaves nothing behind, and its notebook is one that Jupyter takes."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

import stillframe.cli.demo
from cli_support import Home
from support.processes import with_marker

pytest.importorskip("sklearn", reason="the demo needs scikit-learn: pip install 'stillframe[demo]'")
pytest.importorskip("matplotlib", reason="the demo needs matplotlib: pip install 'stillframe[demo]'")

NOTEBOOK = Path(stillframe.cli.demo.__file__).with_name("demo.ipynb")


def test_the_demos_notebook_is_valid_and_ships_without_outputs() -> None:
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    assert all(not cell.get("outputs") for cell in book.cells)


def test_the_demo_ends_well_with_eight_scores_a_crash_and_an_interrupt(tmp_path: Path) -> None:
    told = Home(tmp_path).still("demo", "--json", SF_TEST_DEMO=str(tmp_path)).json()
    assert not with_marker(f"SF_TEST_DEMO={tmp_path}")
    assert set(told["scores"]) == set(stillframe.cli.demo.MODELS)
    assert all(score > 0.9 for score in told["scores"].values())
    assert told["crashed"]["error"]["kind"] == "died"
    assert told["interrupted"]["error"]["kind"] == "interrupted"
    names = {name for state in told["tree"]["states"] for name in state["names"]}
    assert {f"digits/{n}" for n in range(1, 7)} | {f"model/{m}" for m in told["scores"]} <= names
    assert told["took_s"] < 60


def test_the_demo_prints_the_tree_and_the_scores(tmp_path: Path) -> None:
    done = Home(tmp_path).still("demo")
    assert not done.err
    assert "● digits/4" in done.out and "├─● model/" in done.out and "ways back" in done.out
    assert "Nothing is lost" in done.out and done.out.count("✓") == 3
