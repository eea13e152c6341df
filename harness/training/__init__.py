"""What a model trained by gradient is made from."""

from sdmr.harness.training.base import TorchRecommender, takes_arrays
from sdmr.harness.training.layers import Dropout, Embedding, FastDropout
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.harness.training.sequence import SequenceRecommender

__all__ = [
    "Dropout",
    "Embedding",
    "FastDropout",
    "OptimizationConfig",
    "SequenceRecommender",
    "TorchRecommender",
    "takes_arrays",
]
