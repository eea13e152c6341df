"""Define the base class of every recommender that is trained by gradient."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdmr.datasets.errors import DataError
from sdmr.datasets.interactions import IntArray
from sdmr.datasets.sampling import NegativeSampler
from sdmr.datasets.task import HeldOut, Training
from sdmr.harness.files import load_tensors, save_tensors
from sdmr.harness.recommender import ModelError
from sdmr.harness.training.loop import Batches, compute_loss, compute_scores, draw_instances, train
from sdmr.harness.training.losses import bpr_loss
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.harness.training.probe import check_probe, compute_probe


def takes_arrays(method: Callable[..., Tensor]) -> Callable[..., NDArray[np.float32]]:
    """Let a method on tensors of ids take and return arrays, in evaluation mode."""

    @wraps(method)
    def compute(model: "TorchRecommender", *ids: IntArray) -> NDArray[np.float32]:
        model.eval()
        with torch.inference_mode():
            return method(model, *(torch.tensor(each, device=model.device) for each in ids)).cpu().numpy()

    return compute


class TorchRecommender(nn.Module):
    """Train a recommender by gradient.

    A subclass writes `build` (its parameters) and `forward` (its scores), and `loss` unless it is trained by BPR. The
    loss may also be an attribute: a function or a module. A recommender that a subclass holds as an attribute is a
    *part*. This is how models are pre-trained: `fit` fits the parts first, unless they are fitted, and freezes them at
    their best validation epoch.
    """

    context_length = 0
    watch_history: Callable[[list[dict[str, float]]], None] | None = None  # called before each epoch; may stop training
    _sizes: tuple[int, int] | None = None  # the numbers of users and items, once built
    has_fitted_start = False  # whether the start, made from fitted parts, may be the best epoch: epoch 0

    def __init__(self, optimization: OptimizationConfig = OptimizationConfig()) -> None:
        super().__init__()
        if not isinstance(optimization, OptimizationConfig):
            raise ModelError(f"{type(self).__name__} passes optimization={optimization!r:.80}, no OptimizationConfig")
        self.optimization = optimization
        self.is_fitted = False
        self.history: list[dict[str, float]] = []  # an entry an epoch, from 0: before training

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; refuse one that an attribute of the class would hide."""
        default = getattr(type(self), name, None)
        is_hidden = default is not None and isinstance(value, nn.Module) and name != "loss"
        if is_hidden or (isinstance(default, property) and default.fset is None):
            hint = "set optimization.device" if name == "device" else "choose another name"
            raise ModelError(f"{type(self).__name__} sets self.{name}, which its class defines: {hint}")
        super().__setattr__(name, value)
        if name == "loss":  # which comes before the method of the class
            object.__setattr__(self, name, value)

    def build(self, n_users: int, n_items: int) -> None:
        """Make the parameters; the parts are fitted by then."""
        raise NotImplementedError

    def forward(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Return scores [B, C] of users [B], contexts [B, context_length] and candidates [B, C]."""
        raise NotImplementedError

    def epoch_metrics(self, validation: HeldOut, scores: NDArray[np.floating] | None) -> dict[str, float]:
        """Return further values for the history, before training and after every epoch.

        Args:
            validation: The instances that choose the epoch.
            scores: [n, C] of their candidates, as they have just been ranked; None before training.
        """
        return {}

    def loss(self, scores: Tensor) -> Tensor:
        """Return the loss of a batch, a sum; BPR (Eq. 21) unless overridden.

        Args:
            scores: [B, 1 + n_negatives], the positive first.
        """
        return bpr_loss(scores, self.optimization.negatives)

    def check_training(self, training: Training) -> None:
        """Raise DataError or ModelError for what cannot be trained; the parameters exist by then."""

    def draw_batches(
        self, training: Training, negatives: NegativeSampler, rng: np.random.Generator
    ) -> tuple[int, Batches]:
        """Return the number of an epoch's batches, and the batches. `rng` is the source of all that is random."""
        return draw_instances(self, training, negatives, rng)

    def compute_gradients(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> float:
        """Compute a batch's loss, and leave its gradients in the parameters' `grad`.

        `grad` is None before. A model may override this by a faster way to the same gradients; that of a table is
        sparse.
        """
        loss = compute_loss(self, compute_scores(self, users, contexts, candidates))
        loss.backward()
        return loss.item()

    def compute_score_gradients(self, scores: NDArray[np.floating]) -> tuple[float, NDArray[np.floating]]:
        """Return the loss of scores and its gradient, for use in `compute_gradients`.

        Both the scores and the gradient are [B, 1 + n_negatives].
        """
        inputs = torch.from_numpy(scores).requires_grad_()
        loss = compute_loss(self, inputs)
        return loss.item(), torch.autograd.grad(loss, inputs)[0].numpy()

    @property
    def parts(self) -> "dict[str, TorchRecommender]":
        """Return the recommenders this one is made from, by attribute name."""
        if "optimization" not in vars(self):
            raise ModelError(f"{type(self).__name__}.__init__ must call super().__init__(optimization) first")
        return {name: child for name, child in self.named_children() if isinstance(child, TorchRecommender)}

    @property
    def device(self) -> torch.device:
        """Return the device of the parameters."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def train(self, mode: bool = True) -> Self:
        """Set the mode as in PyTorch; parts are frozen and stay in evaluation mode."""
        super().train(mode)
        for part in self.parts.values():
            part.eval()
        return self

    def fit(self, training: Training) -> None:
        """Fit pending parts, build, and train until the validation metric stops growing."""
        for part in self.parts.values():
            if not part.is_fitted:
                part.fit(training.drop_checkpoint())
            part.requires_grad_(False)
        torch.manual_seed(training.seed)
        self._sizes = training.n_users, training.n_items
        self.build(training.n_users, training.n_items)
        self.to(_get_device(self.optimization.device))
        train(self, training)
        self.eval()
        self.is_fitted = True

    @takes_arrays
    def score(self, users: Tensor, contexts: Tensor, candidates: Tensor) -> Tensor:
        """Return scores [B, C] of candidates [B, C] (see `sdmr.harness.recommender.Recommender`)."""
        return compute_scores(self, users, contexts, candidates)

    def save(self, path: Path) -> None:
        """Write the fitted parameters, atomically."""
        probe = compute_probe(self, *self._sizes) if self._sizes else {}
        save_tensors({"parameters": self.state_dict(), "history": self.history, **probe}, path)

    def load(self, path: Path, n_users: int, n_items: int) -> None:
        """Read what `save` has written for a recommender of the same configuration.

        Raises ModelError if that is not all that its scores depend on.
        """
        saved = load_tensors(path, "cpu")
        self._build_with_parts(n_users, n_items)
        try:
            self.load_state_dict(saved["parameters"])
        except (KeyError, RuntimeError) as error:
            raise DataError(f"{path} holds no {type(self).__name__} of these settings and data") from error
        self.to(_get_device(self.optimization.device))
        self.history, self.is_fitted = saved["history"], True
        self.eval()
        check_probe(self, saved, n_users, n_items)

    def _build_with_parts(self, n_users: int, n_items: int) -> None:
        """Make the parameters, those of the parts (and of theirs) first, as `fit` does."""
        for part in self.parts.values():
            part._build_with_parts(n_users, n_items)
            part.requires_grad_(False)
            part.is_fitted = True
        self._sizes = n_users, n_items
        self.build(n_users, n_items)


def _get_device(name: str) -> torch.device:
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
