"""What the tests have in common: a server as a process, its wire, and engines to compare it with."""
