"""`python -m stillframe` is the `still` command."""

from stillframe.cli.main import main

if __name__ == "__main__":
    main()
