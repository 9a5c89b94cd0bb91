"""Regret of any configuration on any task: the portfolio's mean and what the task changes.

What a core configuration did on average is known; what another one would do is forecast from
the configuration alone and drawn to the mean. To that comes a share of what leanings expect the
task to change. Far from all known tasks that share falls to nothing, and intervals widen.

Axes: T past pairs, K core configurations, C candidates, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import log2

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.kinds import Kind
from metadata.regret import INDIFFERENT_REGRET, MEDIAN_REGRET, WORST_REGRET
from metadata.surrogates.distance import Distances
from metadata.surrogates.failure import Failure
from metadata.surrogates.far import Far
from metadata.surrogates.intervals import TAIL
from metadata.surrogates.portfolio import Scenarios
from metadata.surrogates.scenarios import balance, greedy, squares, steadied
from metadata.surrogates.spec import Described, Prediction, State
from metadata.surrogates.trees import Trees, mean_of
from metadata.surrogates.view import QUANTILES, View

# A regret forecast below this is drawn out towards 0 and never reaches it: nothing is certain to
# be the best, and the order of the best must not be lost by clipping.
SMALLEST_REGRET = 0.05
WIDEST = 3.0  # times the usual interval: by then it covers nearly all of [0, 2]
# Standard errors by which a configuration outside the core must be better to be picked before
# one of the core: the one-standard-error rule, since the best of many forecasts flatters itself.
CAUTION = 1.0
SCREENED = 100  # candidates that a list is chosen from: the best by expected regret


@dataclass(frozen=True, kw_only=True)
class Core:
    """Where the core's configurations lie, by what they are, apart from any task."""

    reference_KF: Floats
    scale_F: Floats

    def likeness(self, reference_CF: Floats) -> Floats:
        """Return weights of the core for each candidate, C x K, summing to at most 1."""
        squares_CK = squares(reference_CF / self.scale_F, self.reference_KF / self.scale_F)
        near_CK = np.exp(-squares_CK / (2.0 * self.usual_distance**2))
        likeness_CK: Floats = near_CK / (near_CK.sum(axis=1, keepdims=True) + np.exp(-2.0))
        return likeness_CK

    @cached_property
    def usual_distance(self) -> float:
        """Return the usual distance of a core configuration to the nearest other."""
        scaled = self.reference_KF / self.scale_F
        squares_KK = squares(scaled, scaled)
        np.fill_diagonal(squares_KK, np.inf)
        return max(float(np.sqrt(np.median(squares_KK.min(axis=1)))), 1e-6)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A task as the surrogate sees it, and how probable it is that each candidate fails there.

    Attributes:
        distance: To the nearest past pair.
        published: Share of published results in what is expected.
    """

    weight_T: Floats
    scenario_TC: Floats
    shift_C: Floats
    distance: float
    published: float
    failure_C: Floats

    @property
    def expected(self) -> Floats:
        """Return the expected regret of each candidate, C, not clipped."""
        expected: Floats = self.weight_T @ self.scenario_TC + self.shift_C
        return expected


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Forecasts regret.

    Attributes:
        tried: Methods and optimizers that past runs tried; of others nothing can be said.
        averages: Models of a configuration alone.
        failure: The probability that training fails by itself.
        views: What is believed of each kind of question; `free` is among them.
        far: What is believed far from own runs, where that is known.
        kind: The kind of question that is answered.
    """

    tried: tuple[str, ...]
    averages: tuple[Trees, ...]
    core: Core
    failure: Failure
    views: Mapping[Kind, View]
    far: Far | None = None
    kind: Kind = "free"

    def of(self, kind: Kind) -> "Quality":
        """Return what answers a kind of question; of one without evidence, any question."""
        return replace(self, kind=kind if kind in self.views else "free")

    @property
    def view(self) -> View:
        """Return what is believed of this kind of question."""
        return self.views[self.kind]

    @property
    def scenarios(self) -> Scenarios:
        """Return the regrets of the core in past pairs."""
        return self.view.scenarios

    @property
    def distances(self) -> Distances:
        """Return distances to the known pairs."""
        return self.scenarios.distances

    def forecast(self, candidates: Described) -> Prediction:
        """Forecast the regret of each candidate."""
        return self.judge(self.look(candidates))

    def judge(self, scene: Scene) -> Prediction:
        """Return the regret of each candidate of a scene."""
        expected_C = bounded(scene.expected)
        low_C, high_C = self.view.errors.around(
            expected_C, scene.distance, widen=self.widening(scene.distance)
        )
        if self.far is not None:
            low, high = scene.published * np.array(self.far.tails)
            low_C, high_C = (
                np.minimum(low_C, expected_C + low),
                np.maximum(high_C, expected_C + high),
            )
        high_C = np.where(scene.failure_C > TAIL, WORST_REGRET, high_C)
        return Prediction(
            expected_C=expected_C,
            low_C=np.clip(low_C, 0.0, expected_C),
            high_C=np.clip(high_C, expected_C, WORST_REGRET),
        )

    def look(self, candidates: Described) -> Scene:
        """Return what past pairs and the task itself say of the candidates."""
        distance = float(self.distances.to_known(candidates.task_T).min())
        fade = self.distances.trust(distance)
        trust = fade * self.view.trust
        shift_C = trust * self._shift(candidates) if trust > 0 else np.zeros(len(candidates.keys))
        failure_C = self.failure.probability(candidates.X_CF)
        own_TC = self._scenarios(candidates, failure_C)
        return Scene(
            weight_T=balance(self.scenarios.group_T),
            scenario_TC=self._with_published(own_TC, candidates),
            published=self.share_of_published(candidates.task_T),
            shift_C=shift_C,
            distance=distance,
            failure_C=failure_C,
        )

    def on_average(self, candidates: Described) -> Floats:
        """Return the regret of each candidate by own runs, whatever the task."""
        failure_C = self.failure.probability(candidates.X_CF)
        return balance(self.scenarios.group_T) @ self._scenarios(candidates, failure_C)

    def alone(self, candidates: Described) -> Floats:
        """Return the regret that models alone expect, so that any two choices compare."""
        distance = float(self.distances.to_known(candidates.task_T).min())
        trust = self.view.trust * self.distances.trust(distance)
        own_C = self._average(candidates, self.failure.probability(candidates.X_CF))
        if trust > 0:
            own_C = own_C + trust * self._shift(candidates)
        return self._with_published(own_C, candidates)

    def outlines(self, candidates: Described) -> tuple[Floats, Floats]:
        """Return the regret of each candidate by models of it alone, and by published results."""
        own_C = self._average(candidates, self.failure.probability(candidates.X_CF))
        return own_C, own_C if self.far is None else self.far.regret(candidates.reference_CF)

    def pick(self, candidates: Described, regret_C: Floats, *, count: int) -> Integers:
        """Return a list of candidates whose best is expected to be best, in order.

        The portfolio's first stays the first unless another is expected to be better by more than
        makes no difference.

        Args:
            candidates: What to choose from.
            regret_C: What each is worth, lower is better: its regret, or that and a price.
            count: Entries at most.
        """
        rows = np.argsort(self.cautious(candidates, regret_C), kind="stable")
        rows = np.sort(rows[: max(SCREENED, count)])
        few = candidates.take(rows)
        scene = self.look(few)
        mean_C = scene.weight_T @ scene.scenario_TC
        worth_C = self.cautious(few, regret_C[rows])
        scenario_TC = scene.scenario_TC - mean_C + worth_C - scene.shift_C
        by = INDIFFERENT_REGRET * (1.0 - scene.published) if scene.shift_C.any() else 0.0
        first_C = steadied(worth_C, mean_C, self._columns(few) >= 0, by=by)
        order = greedy(
            scenario_TC, scene.weight_T, count=count, first_C=first_C, most=MEDIAN_REGRET
        )
        picked: Integers = rows[order]
        return picked

    def cautious(self, candidates: Described, regret_C: Floats) -> Floats:
        """Return regrets, higher for candidates outside the core by what is not known of them.

        Where published results are believed it makes no difference whether own runs tried one.
        """
        own = 1.0 - self.share_of_published(candidates.task_T)
        outside_C = self._columns(candidates) < 0
        return regret_C + own * CAUTION * self.view.outside.error * outside_C

    def beats(self, regret_C: Floats, other: float, distance: float) -> Floats:
        """Return the probability that each regret is truly below another.

        Beyond the known tasks differences carry over less surely, not only less precisely: what
        is certain among them is diluted towards an even chance as intervals widen.
        """
        widening = self.widening(distance)
        known_C = np.interp((other - regret_C) / widening, self.view.difference_Q, QUANTILES)
        diluted_C: Floats = 0.5 + (known_C - 0.5) / widening
        return diluted_C

    def widening(self, distance: float) -> float:
        """Return the factor of intervals at a distance: 1 as far as known tasks lie apart."""
        return float(np.clip(distance / self.distances.limit, 1.0, WIDEST))

    def share_of_published(self, task_T: Floats) -> float:
        """Return the share of published results in what is expected of a task.

        It is none where a model that was run is at most ten times larger or smaller, and all that
        own runs leave to it from a hundred times on.
        """
        if self.far is None:
            return 0.0
        column = self.scenarios.task_names.index("log2_parameters")
        apart = np.abs(self.scenarios.task_TT[:, column] - task_T[column]).min() / log2(10)
        return (1.0 - self.far.own) * float(np.clip(apart - 1.0, 0.0, 1.0))

    def state(self) -> State:
        """Return all that forecasts need."""
        views = {kind: view.state() for kind, view in self.views.items()}
        return State(
            values={
                "views": {kind: dict(state.values) for kind, state in views.items()},
                "tried": list(self.tried),
                "averages": len(self.averages),
                "failure": vars(self.failure.line),
                "far": None if self.far is None else self.far.state(),
            },
            arrays={
                "core_KF": self.core.reference_KF,
                "core_scale_F": self.core.scale_F,
                **{
                    f"{kind}.{name}": array
                    for kind, state in views.items()
                    for name, array in state.arrays.items()
                },
            },
            texts=tuple(model.text for model in (*self.averages, *self.failure.models)),
        )

    def _with_published(self, own: Floats, candidates: Described) -> Floats:
        """Return regrets, the last axis C, with the share of published results on the task."""
        share = self.share_of_published(candidates.task_T)
        if self.far is None or share == 0:
            return own
        said_C = self.far.regret(candidates.reference_CF)
        return (1.0 - share) * own + share * said_C

    def _average(self, candidates: Described, failure_C: Floats) -> Floats:
        view = self.view
        regret_C = view.scale * mean_of(self.averages, candidates.reference_CF)
        average_C = view.outside.shrink(regret_C)
        average_C = np.maximum(average_C, WORST_REGRET * failure_C)
        never_C = ~self._was_tried(candidates)
        average_C[never_C] = np.maximum(average_C[never_C], view.outside.mean)
        return average_C

    def _shift(self, candidates: Described) -> Floats:
        """Return what the task adds to each candidate's regret: others lean as their likes do."""
        shift_K = self.view.leanings.shift(candidates.task_T)
        column_C = self._columns(candidates)
        shift_C = shift_K[column_C]
        others = np.flatnonzero(column_C < 0)
        if len(others):
            likeness_CK = self.core.likeness(candidates.reference_CF[others])
            shift_C[others] = likeness_CK @ shift_K
        return np.where(self._was_tried(candidates), shift_C, 0.0)

    def _columns(self, candidates: Described) -> Integers:
        """Return the column of each candidate in the core; -1 outside of it."""
        columns = self.scenarios.columns
        return np.array([columns.get(key, -1) for key in candidates.keys], dtype=np.int64)

    def _was_tried(self, candidates: Described) -> Booleans:
        known = set(self.tried)
        return np.array([known.issuperset(kinds) for kinds in candidates.kinds], dtype=bool)

    def _scenarios(self, candidates: Described, failure_C: Floats) -> Floats:
        """Return the regret of each candidate on each past pair, were it run again, T x C.

        Of the core that is known; other candidates are taken to vary as their likes do.
        """
        weight_T = balance(self.scenarios.group_T)
        lasting_TK = self.scenarios.lasting
        column_C = self._columns(candidates)
        scenario_TC = lasting_TK[:, column_C]
        others = np.flatnonzero(column_C < 0)
        if len(others):
            strange = candidates.take(others)
            likeness_CK = self.core.likeness(strange.reference_CF)
            deviation_TK = lasting_TK - weight_T @ lasting_TK
            average_C = self._average(strange, failure_C[others])
            scenario_TC[:, others] = average_C + deviation_TK @ likeness_CK.T
        return scenario_TC


def bounded(regret_C: Floats) -> Floats:
    """Return regrets within (0, 2], their order kept."""
    low_C = SMALLEST_REGRET * np.exp(np.minimum(regret_C / SMALLEST_REGRET - 1.0, 0.0))
    return np.minimum(np.where(regret_C < SMALLEST_REGRET, low_C, regret_C), WORST_REGRET)
