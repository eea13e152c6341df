"""What a model trained by gradient is made from."""

from sdmr.harness.training.base import TorchRecommender, takes_arrays
from sdmr.harness.training.layers import Dropout, Embedding
from sdmr.harness.training.optimizer import OptimizationConfig

__all__ = ["Dropout", "Embedding", "OptimizationConfig", "TorchRecommender", "takes_arrays"]
