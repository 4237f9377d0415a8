"""The `still` command: the only part of stillframe that reads the environment and prints."""
