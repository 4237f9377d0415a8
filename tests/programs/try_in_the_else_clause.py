"""In the else clause; what is raised there is not caught by the handlers beside it."""

import os

import stillframe


def main():
    try:
        print("try")
    except ValueError:
        print("never")
    else:
        print("before")
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        print("after")
        raise ValueError("from else")
    finally:
        print("finally")


try:
    main()
except ValueError as error:
    print(error)
