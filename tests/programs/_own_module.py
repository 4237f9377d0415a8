"""A module with state, for own_modules_travel."""

items = []
count = 0


def increment():
    global count
    count += 1
    return count
