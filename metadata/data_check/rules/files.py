"""Rules about a whole file: one form, enough examples, classes in balance."""

from collections.abc import Iterator

from metadata.data_check.forms import Form
from metadata.data_check.problems import Seen, excerpt
from metadata.data_check.rules.spec import FileRule, Met, Options
from metadata.examples import MINIMUM
from metadata.features.dataset import EXAMPLES_PER_LABEL, LABEL_BYTES, LABELS

FEW_EXAMPLES = 10  # OpenAI's least for a fine-tuning file
IMBALANCE = 10  # examples of the most frequent class to one of the rarest
LONG_SHARE = 0.1  # of answers that are no labels


class _Forms:
    """Notes the first form of either objective."""

    def __init__(self, *, of_objectives: bool) -> None:
        self._of_objectives = of_objectives
        self._first: tuple[Form, int] | None = None

    def see(self, met: Met) -> Iterator[Seen]:
        form = met.line.form
        assert form is not None
        if self._first is None:
            self._first = (form, met.line.number)
        first, line = self._first
        is_other_objective = form.is_preference is not first.is_preference
        if is_other_objective is self._of_objectives and form is not first:
            yield Seen(f"{form.name}, line {line} is {first.name}")

    def end(self, last_line: int) -> Iterator[tuple[int, Seen]]:
        return iter(())


class _Enough:
    """Counts different examples."""

    def __init__(self, least: int, below: int) -> None:
        self._range = range(least, below)
        self._count = 0

    def see(self, met: Met) -> Iterator[Seen]:
        self._count += met.sighting.same_example is None
        return iter(())

    def end(self, last_line: int) -> Iterator[tuple[int, Seen]]:
        if self._count in self._range:
            yield max(1, last_line), Seen(f"{self._count} different examples")


class _Balance:
    """Counts the answers of what may be a classification, until they are clearly none."""

    def __init__(self) -> None:
        self._classes: dict[str, tuple[int, int]] = {}  # answer: examples, first line
        self._examples = self._long = 0
        self._has_too_many = False

    def see(self, met: Met) -> Iterator[Seen]:
        self._examples += 1
        answer = met.example.completion.strip()
        form = met.line.form
        has_prompt = form is not None and not form.is_preference and bool(met.example.prompt)
        if not has_prompt or len(answer.encode()) > LABEL_BYTES:
            self._long += 1
        elif not self._has_too_many:
            count, first = self._classes.get(answer, (0, met.line.number))
            self._classes[answer] = (count + 1, first)
            self._has_too_many = len(self._classes) > LABELS
        return iter(())

    def end(self, last_line: int) -> Iterator[tuple[int, Seen]]:
        if not self._is_classification():
            return
        ordered = sorted(self._classes.items(), key=lambda item: item[1])
        (rare, (fewest, line)), (usual, (most, _)) = ordered[0], ordered[-1]
        if len(ordered) == 1:
            yield line, Seen(f"all {most:,} answers are {excerpt(usual)}")
        elif most > IMBALANCE * fewest:
            yield line, Seen(f"{fewest:,} of {excerpt(rare)}, {most:,} of {excerpt(usual)}")

    def _is_classification(self) -> bool:
        most_labels = self._examples / EXAMPLES_PER_LABEL
        return (
            not self._has_too_many
            and self._examples >= FEW_EXAMPLES
            and self._long <= LONG_SHARE * self._examples
            and 0 < len(self._classes) <= most_labels
        )


def _least(options: Options) -> int:
    return 1 if options.has_validation else MINIMUM


FILE_RULES = (
    FileRule(
        name="mixed-objectives",
        severity="error",
        must="A file holds preferences in all its lines or in none.",
        fix="Keep preferences in a file of their own.",
        start=lambda options: _Forms(of_objectives=True),
    ),
    FileRule(
        name="mixed-forms",
        severity="warning",
        must="All examples of a file have one form; a chat is read through a template, others not.",
        fix="Write all lines in one form.",
        start=lambda options: _Forms(of_objectives=False),
    ),
    FileRule(
        name="too-few-examples",
        severity="error",
        must=f"Training needs {MINIMUM} different examples, to train, validate and test; one where "
        "validation has a file of its own.",
        fix="Add examples.",
        start=lambda options: _Enough(0, _least(options)),
    ),
    FileRule(
        name="few-examples",
        severity="warning",
        must=f"With fewer than {FEW_EXAMPLES} different examples a score says next to nothing.",
        fix="Add examples; 50 to 100 good ones are a usual start.",
        start=lambda options: _Enough(_least(options), FEW_EXAMPLES),
    ),
    FileRule(
        name="class-imbalance",
        severity="warning",
        must=f"No class has over {IMBALANCE} times the examples of another.",
        fix="Add examples of the rare class, or leave some of the frequent one out.",
        start=lambda options: _Balance(),
    ),
)
