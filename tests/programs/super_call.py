"""In a method that was called through super(), along a diamond."""

import os

import stillframe


class Base:
    def method(self):
        stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
        return ["Base"]


class Left(Base):
    def method(self):
        return ["Left", *super().method()]


class Right(Base):
    def method(self):
        return ["Right", *super().method()]


class Bottom(Left, Right):
    def method(self):
        return ["Bottom", *super().method()]


print("before")
print(Bottom().method())
