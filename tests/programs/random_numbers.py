"""The random numbers that come are the ones that would have come."""

import os
import random

import stillframe

random.seed(1)
own = random.Random(2)
random.random(), own.random()
stillframe.snapshot(os.environ["SNAPSHOT"]) or os._exit(0)
print(random.random(), own.random(), random.sample(range(100), 3))
