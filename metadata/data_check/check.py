"""Check a training file, and a validation file beside it, against every rule of the table."""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from metadata.data_check.copy import RepairedCopy
from metadata.data_check.forms import FORMS
from metadata.data_check.lines import Line, read_lines
from metadata.data_check.problems import Part, Problem, Seen, Summary
from metadata.data_check.rules import EXAMPLE_RULES, FILE_RULES, LINE_RULES
from metadata.data_check.rules.spec import FileRule, LineRule, Met, Needs, Options, Rule, Watch
from metadata.data_check.sightings import MOST_KEYS, Sightings
from metadata.data_check.summary import Tally, summarize
from metadata.data_check.tokens import ByteCounter, TokenCounter
from metadata.examples import Example, Preference
from metadata.records import ModelProfile

Found = tuple[Rule, Seen, int]  # a rule, what it saw first, and how often
Report = Callable[[Problem], object]
Progress = Callable[[int], object]
PROGRESS_BYTES = 2**20  # between two words about how far it is


def _of(needs: Needs) -> tuple[LineRule, ...]:
    return tuple(rule for rule in LINE_RULES if rule.needs == needs)


# The rules of each step, and whether a line goes on to the next one.
_STEPS: tuple[tuple[tuple[LineRule, ...], Callable[[Line], bool]], ...] = (
    (_of("bytes"), lambda line: bool((line.text or "").strip())),
    (_of("text"), lambda line: line.decoded.broken is None and line.decoded.too_deep is None),
    (_of("value"), lambda line: isinstance(line.decoded.value, dict)),
    (_of("record"), lambda line: line.form is not None),
)
_OF_FORM = {form: tuple(rule for rule in _of("form") if form in rule.forms) for form in FORMS}
_REFUSAL_RULES = _of("refusal")


@dataclass(kw_only=True)
class DataCheck:
    """How a file is checked: for which model, and where the problems go.

    Attributes:
        report: Is told each problem as it is found; those of a whole file come last.
        model: The model whose context counts, None where none is named.
        counter: Counts its tokens; by bytes if None.
        progress: Is told every so often how many bytes more were read.
        most_keys: Different examples that are remembered, to find repeated ones.
        most_problems: After so many in a file the rest of it is not read.
    """

    report: Report
    model: ModelProfile | None = None
    counter: TokenCounter | None = None
    progress: Progress = lambda more_bytes: None
    most_keys: int = MOST_KEYS
    most_problems: float = math.inf

    def run(
        self,
        training: io.BufferedReader,
        validation: io.BufferedReader | None = None,
        *,
        copy: RepairedCopy | None = None,
    ) -> Summary:
        """Check the files in one pass each, the validation file first, and return the summary."""
        has_validation = validation is not None
        counter = self.counter or ByteCounter(self.model)
        context = None if self.model is None else self.model.context_tokens
        options = Options(counter=counter, context_tokens=context, has_validation=has_validation)
        sightings = Sightings(most_keys=self.most_keys)
        held_out = None
        if validation is not None:
            own = Sightings(most_keys=self.most_keys)
            held_out = _Pass(self, options, own, part="validation", held_out_of=sightings)
            held_out.read(validation)
        checked = _Pass(self, options, sightings, copy=copy)
        checked.read(training)
        return summarize(
            checked.tally,
            None if held_out is None else held_out.tally,
            options,
            share=sightings.share,
        )


@dataclass
class _Pass:
    """One file, read once."""

    check: DataCheck
    options: Options
    sightings: Sightings
    part: Part = "training"
    copy: RepairedCopy | None = None
    held_out_of: Sightings | None = None
    tally: Tally = field(default_factory=Tally)
    _untold_bytes: int = 0

    def read(self, file: io.BufferedReader) -> None:
        watches = [(rule, rule.start(self.options)) for rule in FILE_RULES]
        for line in read_lines(file, spill=self._spill):
            if self.tally.problems >= self.check.most_problems:
                self.tally.is_complete = False
                break
            self.tally.lines = line.number
            self._count_bytes(len(line.raw))
            self._settle(line, self._look(line, watches))
        if self.tally.is_complete:
            self._look_back(watches)
        self.check.progress(self._untold_bytes)

    def _look_back(self, watches: list[tuple[FileRule, Watch]]) -> None:
        for rule, watch in watches:
            for number, seen in watch.end(self.tally.lines):
                self._tell((rule, seen, 1), number, is_repaired=False)

    def _look(self, line: Line, watches: list[tuple[FileRule, Watch]]) -> list[Found]:
        found, example = look(line)
        if example is None:
            return found
        met = self._meet(line, example)
        for rule in EXAMPLE_RULES:
            _keep_first(rule, rule.find(met), found)
        for file_rule, watch in watches:
            _keep_first(file_rule, watch.see(met), found)
        return found

    def _meet(self, line: Line, example: Example) -> Met:
        assert line.form is not None
        self.tally.forms[line.form.name] += 1
        count = self.options.counter.count
        answer_tokens = count(_longest_answer(example))
        tokens = answer_tokens + (count(example.prompt) if example.prompt else 0)
        self.tally.add_tokens(tokens, line=line.number)
        if self.held_out_of is not None:
            self.held_out_of.hold_out(example, line.number)
        return Met(
            line=line,
            example=example,
            tokens=tokens,
            answer_tokens=answer_tokens,
            sighting=self.sightings.meet(example, line.number),
            options=self.options,
        )

    def _settle(self, line: Line, found: list[Found]) -> None:
        """Write the line to the copy, where there is one, and tell its problems."""
        is_dropped = any(rule.repair == "drop" for rule, _, _ in found)
        if self.copy is not None and not is_dropped:
            self.copy.write(line)
        for one in found:
            is_mended = is_dropped or one[0].repair is not None
            self._tell(one, line.number, is_repaired=self.copy is not None and is_mended)

    def _tell(self, found: Found, number: int, *, is_repaired: bool) -> None:
        rule, seen, times = found
        self.tally.counts[rule.name] += 1
        self.tally.problems += 1
        self.tally.repaired += is_repaired
        self.check.report(
            Problem(
                part=self.part,
                line=number,
                column=seen.column,
                severity=rule.severity,
                rule=rule.name,
                message=rule.must,
                seen=seen.text,
                times=times,
                fix=rule.fix,
                is_repaired=is_repaired,
            )
        )

    def _spill(self, piece: bytes) -> None:
        self._count_bytes(len(piece))
        if self.copy is not None:
            self.copy.write_rest(piece)

    def _count_bytes(self, more: int) -> None:
        self.tally.size_bytes += more
        self._untold_bytes += more
        if self._untold_bytes >= PROGRESS_BYTES:
            self.check.progress(self._untold_bytes)
            self._untold_bytes = 0


def look(line: Line) -> tuple[list[Found], Example | None]:
    """Return what is wrong with a line by itself, and its example where training could read it."""
    found: list[Found] = []
    for rules, goes_on in _STEPS:
        _ask(rules, line, found)
        if not goes_on(line):
            return found, None
    assert line.form is not None
    _ask(_OF_FORM[line.form], line, found)
    if any(rule.severity == "error" and rule.repair is None for rule, _, _ in found):
        return found, None
    _ask(_REFUSAL_RULES, line, found)
    return found, line.example if isinstance(line.example, Example) else None


def _ask(rules: Iterable[LineRule], line: Line, found: list[Found]) -> None:
    for rule in rules:
        _keep_first(rule, rule.find(line), found)


def _keep_first(rule: Rule, seen: Iterator[Seen], found: list[Found]) -> None:
    """Add the first that a rule saw, with how many there are; no list of them is kept."""
    first = next(seen, None)
    if first is not None:
        found.append((rule, first, 1 + sum(1 for _ in seen)))


def _longest_answer(example: Example) -> str:
    if isinstance(example, Preference):
        return max(example.completion, example.rejected, key=len)
    return example.completion
