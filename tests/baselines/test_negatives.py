"""Which negatives enter the loss of each baseline by default, and where the choice has no effect."""

from collections.abc import Callable

import pytest

from sdmr.baselines.caser import Caser
from sdmr.baselines.cml import CML
from sdmr.baselines.cmn import CMN
from sdmr.baselines.mf_bpr import MFBPR
from sdmr.baselines.neumf import GMF, MLP, NeuMF
from sdmr.baselines.prme import PRME
from sdmr.baselines.transrec import TransRec
from sdmr.harness.training.base import TorchRecommender
from sdmr.harness.training.optimizer import OptimizationConfig
from sdmr.models.sdm import SDM
from sdmr.models.sdmr import SDMR
from sdmr.models.sdp import SDP

PAIRWISE_MODELS: list[TorchRecommender] = [
    *(MFBPR(), CML(), PRME(), TransRec(), SDP(), SDM(), SDMR(SDP(), SDM()), CMN(GMF(objective="bpr"))),
]
LOG_LOSSES: list[Callable[[OptimizationConfig], TorchRecommender]] = [
    lambda one: GMF(optimization=one),
    lambda one: MLP(optimization=one),
    lambda one: NeuMF(GMF(), MLP(), one),
    lambda one: Caser(optimization=one),
]


@pytest.mark.parametrize("model", PAIRWISE_MODELS, ids=lambda model: type(model).__name__)
def test_a_model_ranked_by_pairs_learns_from_the_hardest_negative(model: TorchRecommender) -> None:
    assert (model.optimization.negatives, model.optimization.n_negatives) == ("hardest", 4)


@pytest.mark.parametrize("make", LOG_LOSSES)
def test_a_log_loss_counts_every_negative(make: Callable[[OptimizationConfig], TorchRecommender]) -> None:
    with pytest.raises(ValueError, match="negatives=hardest has no effect on a log loss"):
        make(OptimizationConfig(negatives="hardest"))
