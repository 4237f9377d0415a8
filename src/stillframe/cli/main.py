"""The `still` command: its verbs, and how it ends.

Invariants:
  * What a verb is asked for goes to standard output; everything else goes to standard error.
  * Exit code 0: done. 1: the user's code raised, or `still doctor` found something wrong. 2: stillframe
    refused, or the command line is wrong. 130: interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

import click

import stillframe
from stillframe.cli import demo, doctor, keeping, moving, notebook, programs, serving, verbs
from stillframe.cli.terminal import say
from stillframe.errors import StillframeError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(stillframe.__version__, prog_name="still")
def still() -> None:
    """Run Python in named states that never change.

    Code runs in a state and makes a new one; every old state stays and can be run in again.

    \b
      still execute 'x = 1' --as one
      still execute 'x += 1; x' --in one --as two
      still show one x
      still tree

    A verb that needs a server starts one in the background where none runs, and says so. Which server:
    --url and --token, else STILLFRAME_URL and STILLFRAME_TOKEN, else the one that runs here for you.
    """


for _command in (
    serving.serve,
    verbs.execute,
    verbs.tree,
    verbs.show,
    verbs.delete,
    verbs.rename,
    verbs.pin,
    verbs.unpin,
    moving.export,
    moving.import_,
    moving.push,
    moving.pull,
    keeping.keys,
    keeping.trust,
    keeping.distrust,
    keeping.prune,
    keeping.archive,
    verbs.reset,
    verbs.interrupt,
    notebook.notebook,
    programs.run,
    programs.resume,
    doctor.doctor,
    serving.stop,
    demo.demo,
):
    still.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `still` and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        # Output of programs may hold characters that the terminal cannot show.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = still.main(args=arguments, prog_name="still", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except StillframeError as error:
        say(str(error))
        code = 2
    except BrokenPipeError:
        # Whoever read our output has left (`still tree | head`); the rest goes nowhere, silently.
        _silence(sys.stdout)
        code = 141
    except OSError as error:
        # A file that the verb was given, or its own output, which the system has refused.
        where = f"{error.filename}: " if error.filename else ""
        say(f"{where}{error.strerror or error}.")
        code = 2
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _silence(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
