"""A training loop that is gone on with from its third epoch, with other learning rates.

    python examples/learning_rate.py

The loop knows nothing of it but one line: stillframe.snapshot("epoch 3") makes a state that rests in the middle
of the loop, with the model, the order of the data and the random numbers as they are there. Each resume goes on
from it in a branch of its own. Nothing is trained again, and nothing is written to files.
"""

from __future__ import annotations

import stillframe

TRAINING = """
import numpy as np
import stillframe

rng = np.random.default_rng(0)
truth = np.array([2.0, -3.0, 0.5])
data = rng.normal(size=(400, 3))
target = data @ truth + rng.normal(scale=0.1, size=400)

def train(epochs, rate):
    weights = np.zeros(3)
    losses = []
    for epoch in range(1, epochs + 1):
        for start in rng.permutation(range(0, 400, 20)):
            batch, wanted = data[start : start + 20], target[start : start + 20]
            weights -= rate * batch.T @ (batch @ weights - wanted) / len(wanted)
        losses.append(float(((data @ weights - target) ** 2).mean()))
        if epoch == 3:
            resumed = stillframe.snapshot("epoch 3")
            if resumed:
                rate = resumed.value
    return losses

losses = train(6, rate=0.005)
print("loss by epoch:", *(f"{loss:.3f}" for loss in losses))
"""


def main() -> dict[float, list[float]]:
    """The losses by learning rate from the third epoch on."""
    with stillframe.Kernel() as kernel:
        first = kernel.execute(TRAINING, name="rate 0.005").raise_for_error()
        print("0.005 throughout |", first.text.strip())
        found: dict[float, list[float]] = {0.005: kernel.value("rate 0.005", "losses")}
        for rate in (0.02, 0.1):
            other = kernel.resume("epoch 3", rate, name=f"rate {rate}").raise_for_error()
            print(f"{rate} from epoch 3 |", other.text.strip())
            found[rate] = kernel.value(other, "losses")
        return found


if __name__ == "__main__":
    main()
