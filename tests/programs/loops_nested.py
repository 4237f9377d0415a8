"""In the innermost of three loops over a range, a dictionary and a string, with else clauses."""

import os

import stillframe


def main():
    for i in range(2):
        for key, value in {"a": 1, "b": 2}.items():
            for letter in "xyz":
                if (i, key, letter) == (1, "a", "y"):
                    stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
                    break
                print(i, key, value, letter)
            else:
                print("no break", i, key)


main()
