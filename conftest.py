"""What holds for every test: one thread, so that runs are repeatable and two test processes do not fight for cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
