"""`still demo`: a notebook with a state per cell, then ten branches of one state at once.

Eight of them train a model each, one crashes, one is interrupted; then it is shown that nothing was lost.
It works on scikit-learn's own data, needs no network, and ends by itself within a minute.
"""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.text import Text

from stillframe import show
from stillframe.cli.notebook import CellRun, Notebook, run_cells
from stillframe.cli.terminal import Rows, console, exit_code_of, print_error, print_json, tree_rows
from stillframe.client import Client
from stillframe.errors import StillframeError
from stillframe.kernel import Kernel
from stillframe.results import Execution, Tree

PREFIX = "digits"
BASE = f"{PREFIX}/4"
"""The state after feature engineering, from which everything branches."""

NEEDS = ("matplotlib", "numpy", "pandas", "sklearn")

# One thread each: the branches themselves fill the processors.
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

MODELS = {
    "logistic": ("linear_model", "LogisticRegression(max_iter=500)"),
    "neighbours": ("neighbors", "KNeighborsClassifier(n_neighbors=3)"),
    "vectors": ("svm", "SVC(C=10, gamma='scale')"),
    "forest": ("ensemble", "RandomForestClassifier(200, random_state=0)"),
    "extra trees": ("ensemble", "ExtraTreesClassifier(200, random_state=0)"),
    "boosting": ("ensemble", "HistGradientBoostingClassifier(max_iter=25, random_state=0)"),
    "perceptron": ("neural_network", "MLPClassifier((64,), max_iter=120, random_state=0)"),
    "discriminant": ("discriminant_analysis", "LinearDiscriminantAnalysis()"),
}

TRAIN = """\
from sklearn.{module} import {name}
import warnings; warnings.simplefilter("ignore")
model = {model}
model.fit(train, train_labels)
score = float(model.score(test, test_labels))
"""

CRASH = """\
train[:] = 0  # this branch's own copy
import ctypes
ctypes.string_at(0)
"""

ENDLESS = """\
train[:] = 0
print("looking for better features", flush=True)
while True:
    pass
"""


class Branches(NamedTuple):
    """What came of the ten branches."""

    models: dict[str, Execution]
    crashed: Execution
    interrupted: Execution
    took_s: float


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def demo(as_json: bool) -> int:
    """Show what states are for, on real data, within a minute.

    A notebook is run with a state per cell; from the state after feature engineering eight models are
    trained at once, in a branch each. One more branch crashes and one is interrupted. Nothing is lost.

    \b
      still demo
    """
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise StillframeError(f"the demo needs {', '.join(missing)}.", "pip install 'stillframe[demo]'")
    began = time.monotonic()
    told = Teller(silent=as_json)
    with Kernel(env=THREADS) as kernel:
        told.head("A notebook, and a state for each of its cells")
        runs = run_notebook(kernel, told)
        if not runs[-1].execution.ok:
            return exit_code_of(runs[-1].execution.error)
        before = look(kernel)
        told.head(f"Ten branches of {BASE} at once: eight models, a segfault, and one that never ends")
        branches = branch(kernel)
        told.branches(branches)
        scores = {name: float(kernel.value(f"model/{name}", "score")) for name in MODELS}
        told.head("Nothing is lost")
        for fact in check(kernel, branches, before):
            told.line(f"✓ {fact}")
        tree = kernel.tree()
    told.head("The tree")
    told.tree(tree)
    told.head("The scores")
    told.scores(scores, branches)
    took_s = time.monotonic() - began
    told.line(f"\n{show.duration(took_s)} in all")
    if as_json:
        print_json(_summary(scores, branches, tree, took_s))
    return 0


def run_notebook(client: Client, told: Teller) -> list[CellRun]:
    """Run the demo's notebook, as `still notebook` does."""
    book = Notebook(Path(__file__).with_name("demo.ipynb"))
    return run_cells(client, book, prefix=PREFIX, on_done=told.cell)


def branch(client: Client) -> Branches:
    """Run all branches of BASE at once; interrupt the endless one as soon as it says something."""
    endless = "endless"

    def on_output(event: str, data: dict[str, Any]) -> None:
        client.interrupt(endless)

    items: list[dict[str, Any]] = [
        {"code": _training(module, model), "state": BASE, "name": f"model/{name}"}
        for name, (module, model) in MODELS.items()
    ]
    items.append({"code": CRASH, "state": BASE, "name": "crash"})
    items.append(
        {"code": ENDLESS, "state": BASE, "name": endless, "exec_id": endless, "on_output": on_output}
    )
    began = time.monotonic()
    *models, crashed, interrupted = client.execute_many(items, max_workers=len(items))
    took_s = time.monotonic() - began
    for execution in models:
        execution.raise_for_error()
    return Branches(dict(zip(MODELS, models, strict=True)), crashed, interrupted, took_s)


def look(client: Client) -> dict[str, Any]:
    """What BASE holds, to be compared later."""
    return {"total": client.execute("float(train.sum())", BASE, "probe").text, "names": client.states()}


def check(client: Client, branches: Branches, before: dict[str, Any]) -> list[str]:
    """That nothing was lost: facts, each of them tested. Raises AssertionError for one that is not so."""
    names = set(client.states())
    _so(_kind(branches.crashed) == "died", "the segfault ended its branch")
    _so(_kind(branches.interrupted) == "interrupted", "the endless branch was interrupted")
    _so(names.issuperset(before["names"]), "every state of the notebook is there")
    _so(names.issuperset(f"model/{name}" for name in MODELS), "all eight models are there")
    _so(not names & {"crash", "endless"}, "the two that failed made no state")
    _so(look(client)["total"] == before["total"], f"{BASE} holds what it held")
    again = client.execute("float(model.score(test, test_labels)) == score", "model/forest", "probe").text
    _so(again == "True", "a kept model gives its score again")
    client.delete("probe")
    return [
        f"the segfault and the interrupt ended their own branches: {branches.crashed.error.evalue}"
        if branches.crashed.error
        else "",
        f"all {len(before['names']) - 1} earlier states are there, and {BASE} holds what it held",
        "all eight models are there, and give their scores again",
    ]


class Teller:
    """Prints the demo as it goes; silent where the answer is JSON."""

    def __init__(self, *, silent: bool) -> None:
        self._console = console()
        self._console.quiet = silent

    def line(self, text: str) -> None:
        """One line."""
        self._console.print(Text(text))

    def head(self, text: str) -> None:
        """A heading."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def cell(self, run: CellRun) -> None:
        """One cell of the notebook that was run."""
        execution = run.execution
        if execution.error is not None:
            print_error(execution.error)
            return
        pictures = sum("image/png" in output.get("data", {}) for output in execution.outputs)
        shown = f", {pictures} figure{'s' * (pictures > 1)}" if pictures else ""
        self.line(f"  {execution.state}  {show.duration(execution.duration_s):>8}{shown}")

    def branches(self, branches: Branches) -> None:
        """What became of each branch."""
        alone_s = sum(execution.duration_s for execution in branches.models.values())
        took, alone = show.duration(branches.took_s), show.duration(alone_s)
        self.line(f"  eight models in {took} (their run times together: {alone})")
        for name, execution in (("crash", branches.crashed), ("endless", branches.interrupted)):
            self.line(f"  {name}: {execution}")

    def tree(self, tree: Tree) -> None:
        """The tree with times and memory."""
        tree_rows(tree.states).print(self._console)

    def scores(self, scores: dict[str, float], branches: Branches) -> None:
        """The models, best first."""
        rows = Rows("model", "correct", "took", "", right=("correct", "took"))
        for name, score in sorted(scores.items(), key=lambda pair: -pair[1]):
            took = show.duration(branches.models[name].duration_s)
            rows.add(name, f"{score:.2%}", took, Text(MODELS[name][1], style="dim"))
        rows.print(self._console)


def _training(module: str, model: str) -> str:
    return TRAIN.format(module=module, name=model.partition("(")[0], model=model)


def _kind(execution: Execution) -> str | None:
    return execution.error.kind if execution.error is not None else None


def _so(holds: bool, fact: str) -> None:
    if not holds:
        raise AssertionError(f"not so: {fact}")


def _summary(scores: dict[str, float], branches: Branches, tree: Tree, took_s: float) -> dict[str, Any]:
    return {
        "scores": scores,
        "crashed": branches.crashed,
        "interrupted": branches.interrupted,
        "tree": tree,
        "took_s": took_s,
    }
