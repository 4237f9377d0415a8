"""Live objects to bytes and back: what a program holds, by value where it is the user's own, else by reference."""
