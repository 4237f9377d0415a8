"""A notebook of 23 cells that holds some 500 MB, as people write them: load, look, clean, derive, fit, sum up.

Each cell is plain text, so that it can be run by any kernel. Nothing is read from outside: data are made from a seed.
"""

from __future__ import annotations

CELLS = [
    "import numpy as np\nimport pandas as pd\nrng = np.random.default_rng(7)",
    "readings = rng.normal(20, 5, (2_500_000, 8))",
    "names = [f'sensor_{number}' for number in range(8)]\ntable = pd.DataFrame(readings, columns=names)",
    "table.describe()",
    "stations = [{'id': number, 'name': f'station {number}', 'place': (number % 90, number % 180)} "
    "for number in range(20_000)]",
    "by_id = {station['id']: station for station in stations}",
    "pictures = rng.integers(0, 255, (3_000, 64, 64, 3), dtype=np.uint8)",
    "mean_picture = pictures.mean(axis=0)",
    "embeddings = rng.random((200_000, 256), dtype=np.float32)",
    "def normalized(vectors):\n    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)",
    "similar = normalized(embeddings[:2_000]) @ normalized(embeddings[:2_000]).T",
    "class Model:\n    def __init__(self, rate):\n"
    "        self.rate, self.weights, self.history = rate, np.zeros(8), []\n\n"
    "    def step(self, rows):\n        self.weights += self.rate * rows.mean(axis=0)\n"
    "        self.history.append(float(self.weights.sum()))",
    "model = Model(0.1)\nfor start in range(0, 100_000, 1_000):\n    model.step(readings[start:start + 1_000])",
    "best = max(model.history)",
    "window = table['sensor_0'].rolling(50).mean()",
    "table['warm'] = table['sensor_1'] > 25",
    "counts = table.groupby('warm').size()",
    "words = [f'word{number % 5_000}' for number in range(200_000)]",
    "frequency = {}\nfor word in words:\n    frequency[word] = frequency.get(word, 0) + 1",
    "stations[17]['name'] = 'renamed'\nby_id[17]['place'] = (0, 0)",
    "model.step(readings[:1_000])\nmodel.history[-1]",
    "pictures[10] = 0",
    "summary = {'best': best, 'warm': int(counts[True]), 'words': len(frequency), 'pictures': pictures.shape}\nsummary",
]
