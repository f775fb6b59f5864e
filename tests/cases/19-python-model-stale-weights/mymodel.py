import numpy as np

from sambench import Prediction


class M:
    def __init__(self, t): self.t = t
    def encode(self, image): return image
    def decode(self, image, prompts): return [Prediction((image[:, :, 0] > self.t)[None], np.ones(1, np.float32)) for _ in prompts]

def make(weights):
    return M(float(open(weights).read()))
