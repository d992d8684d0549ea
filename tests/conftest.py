"""One thread per test process: the suite runs in parallel, and results must not depend on the number of cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import matplotlib
import torch

torch.set_num_threads(1)
matplotlib.use("agg")
