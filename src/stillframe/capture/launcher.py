"""The process that `still run` runs a program in: `python launcher.py REGIME IS_MODULE TARGET [ARGUMENTS]`.

It is run as a script, by its path: no option of the interpreter is then other than for `python SCRIPT`.

Invariant: before the program runs, this file's folder is out of `sys.path`.
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Run the program under the regime, and return its exit code."""
    if not sys.flags.safe_path:
        del sys.path[0]
    try:
        from stillframe.capture import ending, scripts
        from stillframe.capture.periodic import Periodic
        from stillframe.capture.regime import Regime
        from stillframe.frames.diversions import use_stand_ins
    except ImportError as error:
        print(f"still: {error}", file=sys.stderr)
        return 2
    from stillframe.errors import BadRequest

    text, is_module, target, *rest = arguments
    regime = Regime.of_text(text)
    use_stand_ins(regime.stand_ins)
    periodic = Periodic(regime)
    periodic.start()
    try:
        return periodic.to_its_end(
            lambda: ending.ended(scripts.run(target, rest, is_module=is_module == "True"))
        )
    except BadRequest as error:
        # Of ours: those of the program's were reported by now.
        print(f"still: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
