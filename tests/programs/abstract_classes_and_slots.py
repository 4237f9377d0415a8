"""With abstract classes, registrations, and objects with slots."""

import abc
import os

import stillframe


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    __slots__ = ("side",)

    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2


class Other:
    pass


Shape.register(Other)
square = Square(3)
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(square.area(), isinstance(square, Shape), isinstance(Other(), Shape), hasattr(square, "other"))
try:
    Shape()
except TypeError:
    print("abstract")
