"""In an except* clause, with another one to come."""

import os

import stillframe


def main():
    try:
        raise ExceptionGroup("group", [ValueError(1), KeyError(2)])
    except* ValueError as group:
        print("before", group.exceptions)
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        print("after", group.exceptions)
    except* KeyError as group:
        print("keys", group.exceptions)


main()
