"""In a loop whose try clause is left by continue, an error and break, through finally."""

import os

import stillframe


def main():
    for i in range(5):
        try:
            if i == 0:
                continue
            if i == 1:
                stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
                raise ValueError(i)
            if i == 3:
                break
            print("turn", i)
        except ValueError as error:
            print("error", error)
        else:
            print("else", i)
        finally:
            print("finally", i)
    else:
        print("never")


print("before")
main()
