"""Search the layers in turn, each by a population of candidates, the others as they are best.

Paper: derivative-free optimisation for low-rank adaptation, arXiv:2403.01754. One call of the
model is one step: one candidate judged on the batch. Axes: P candidates, D intrinsic dimensions.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from metadata.optimizers import OPTIMIZERS
from metadata.parameters import number as numeric
from metadata.records import Configuration
from training_worker.data import Batch, Tokens
from training_worker.derivative_free.judging import judge_candidates, nats_of
from training_worker.derivative_free.layers import Layer, searched_layers
from training_worker.derivative_free.projections import Projection, hidden_scales
from training_worker.derivative_free.searcher import Floats, Searcher, comparable
from training_worker.entries import resolve
from training_worker.resuming.states import State, plain, with_arrays
from training_worker.steps import Learner, MicroBatches, plan_steps

SEEDS_A_RUN = 10_000  # more than a model has layers, so that no two runs share a map


def plan_calls(
    examples: Sequence[Tokens], configuration: Configuration, *, micro_batch_size: int
) -> list[MicroBatches]:
    """Return the same batch for every step: the first of the run's order, drawn by its seed."""
    size = min(configuration.batch_size, len(examples))
    one_pass = configuration.model_copy(update={"epochs": 1.0, "batch_size": size})
    batch = plan_steps(examples, one_pass, micro_batch_size=micro_batch_size)[0]
    steps = plan_steps(examples, configuration, micro_batch_size=micro_batch_size)
    return [batch] * len(steps)


@dataclass
class _Generation:
    """A population on its way: not judged yet, or with the vectors left to be tried whole."""

    candidates_PD: Floats
    is_judged: bool = False
    proposed: list[Floats] = field(default_factory=list)
    calls: int = 0


class PopulationSteps:
    """Steps of a search: each time the calls that are paid for are used up, a population more.

    The model always is the best that was found: what a step gives is its loss on the batch, which
    never rises.
    """

    rate = None

    def __init__(
        self, learner: Learner, configuration: Configuration, *, steps: int, rows: int
    ) -> None:
        """Begin a search of so many calls, with about `rows` examples through the model at once."""
        self._learner, self._configuration = learner, configuration
        self._steps, self._rows = steps, rows
        self._made = 0
        self._nats = float("inf")
        self._batches: list[Batch] = []
        self._layers = searched_layers(learner.model)
        self._searches: list[_LayerSearch] = []
        self._turns = 0  # of layers, each a generation
        self._generation: _Generation | None = None

    def to_be_kept(self) -> AbstractContextManager[None]:
        """Return a block within which the weights are those to keep: as they are."""
        return nullcontext()

    def use_rows(self, rows: int) -> None:
        """Put about so many rows through the model at once, and take smaller batches anew."""
        self._rows, self._batches = rows, []

    def state(self) -> State:
        """Return how far the search of each layer is."""
        return {
            "made": self._made,
            "nats": self._nats,
            "turns": self._turns,
            "searches": [search.state() for search in self._searches],
        }

    def restore(self, state: State) -> None:
        """Go on from a state of the same run."""
        self._made, self._nats, self._turns = state["made"], state["nats"], state["turns"]
        scales = [of_layer["scale"] for of_layer in state["searches"]]
        self._searches = self._search_all(scales) if scales else []
        for search, of_layer in zip(self._searches, state["searches"], strict=True):
            search.restore(of_layer)

    @torch.no_grad()
    def take(self, micro_batches: MicroBatches, *, number: int) -> tuple[float, int]:
        """Go on until so many calls are made; return the best loss in nats, and its targets.

        Raises:
            torch.OutOfMemoryError: The model is the best that was found, and the next call of this
                goes on where this one was.
        """
        self._learner.model.eval()
        if not self._batches:
            self._batches = [self._learner.collate(micro) for micro in micro_batches]
        while self._made < number:
            self._made += self._go_on() if self._made else self._begin()
        return self._nats, max(1, sum(batch.targets for batch in self._batches))

    def _begin(self) -> int:
        """Judge the model without an update."""
        for layer in self._layers:
            layer.clear()
        self._nats = self._judge()
        return 1

    def _search_all(self, scales: Sequence[float]) -> list["_LayerSearch"]:
        return [
            _LayerSearch(layer, scale, self._configuration, number)
            for number, (layer, scale) in enumerate(zip(self._layers, scales, strict=True))
        ]

    def _go_on(self) -> int:
        """Judge a population of the layer whose turn it is, as far as calls are left; count them.

        What memory was too small for goes on where it was.
        """
        if not self._searches:
            scales = hidden_scales(self._learner.model, self._layers, self._batches[-1])
            self._searches = self._search_all(scales)
        search, left = self._searches[self._turns % len(self._searches)], self._steps - self._made
        now = self._generation = self._generation or _Generation(search.searcher.ask())
        if not now.is_judged:
            self._judge_generation(search, now, left=left)
        while now.proposed:
            self._accept_if_better(search, now.proposed[0])
            del now.proposed[0]
            now.calls += 1
        self._generation = None
        self._turns += 1
        return now.calls

    def _judge_generation(self, search: "_LayerSearch", now: _Generation, *, left: int) -> None:
        candidates_PD = now.candidates_PD[:left]
        losses_P = self._judge_all(search, candidates_PD)
        if len(candidates_PD) == len(now.candidates_PD):
            search.searcher.tell(candidates_PD, losses_P)
        proposed = [candidates_PD[losses_P.argmin()]] if losses_P.min() < self._nats else []
        favourite = search.searcher.favourite
        if favourite is not None:
            proposed.append(favourite)
        now.calls = len(candidates_PD)
        now.proposed = proposed[: left - now.calls]
        now.is_judged = True

    def _judge_all(self, search: "_LayerSearch", candidates_PD: Floats) -> Floats:
        projection = search.projection()
        search.layer.clear()
        try:
            nats_P = judge_candidates(
                self._learner,
                search.layer,
                projection.factors(torch.from_numpy(candidates_PD)),
                self._batches,
                rows=self._rows,
            )
        finally:
            search.write(projection, search.vector_D)
        return comparable(nats_P.numpy())

    def _accept_if_better(self, search: "_LayerSearch", vector_D: Floats) -> None:
        """Judge the whole model with a vector in it, and go back where it is no better."""
        projection = search.projection()
        search.write(projection, vector_D)
        nats = float("inf")
        try:
            nats = self._judge()
        finally:
            if nats < self._nats:
                self._nats, search.vector_D = nats, vector_D
            else:
                search.write(projection, search.vector_D)

    def _judge(self) -> float:
        return sum(nats_of(self._learner, batch) for batch in self._batches)


class _LayerSearch:
    """One layer's search: its searcher, the vector that is in the model, and its maps."""

    def __init__(
        self, layer: Layer, scale: float, configuration: Configuration, number: int
    ) -> None:
        values = configuration.optimizer.values
        self.layer = layer
        self._dimension = int(numeric(values, "intrinsic_dimension"))
        self._scale = scale
        self._seed = SEEDS_A_RUN * configuration.seed + number
        self.vector_D: Floats = torch.zeros(self._dimension, dtype=torch.float64).numpy()
        self.searcher: Searcher = resolve(OPTIMIZERS[configuration.optimizer.name].target)(
            self._dimension,
            population=int(numeric(values, "population")),
            sigma=numeric(values, "sigma"),
            seed=self._seed,
        )

    def state(self) -> State:
        """Return the vector in the model, the scale of the maps, and the searcher's state."""
        of_searcher = plain(self.searcher.state_dict())
        return {"vector": plain(self.vector_D), "scale": self._scale, "searcher": of_searcher}

    def restore(self, state: State) -> None:
        """Go on from a state of the same layer; the model's weights are put back elsewhere."""
        self.vector_D = with_arrays(state["vector"])
        self.searcher.load_state_dict(with_arrays(state["searcher"]))

    def projection(self) -> Projection:
        """Return the layer's maps, drawn anew: those of all layers would be a model's size."""
        return Projection(self.layer, self._dimension, scale=self._scale, seed=self._seed)

    def write(self, projection: Projection, vector_D: Floats) -> None:
        """Put a vector's factors into the model."""
        one_D = torch.from_numpy(vector_D)[None]
        self.layer.write([(a[0], b[0]) for a, b in projection.factors(one_D)])
