"""Count what a check finds, and say it in numbers at the end."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from metadata.data_check.problems import RuleCount, Summary, TokenSummary, Verdict
from metadata.data_check.rules import RULES
from metadata.data_check.rules.spec import Options


@dataclass
class Tally:
    """What was met in one file so far."""

    counts: Counter[str] = field(default_factory=Counter)  # lines, by rule
    forms: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    lines: int = 0
    is_complete: bool = True
    size_bytes: int = 0
    repaired: int = 0
    tokens: int = 0
    longest: tuple[int, int] = (0, 0)  # tokens, line

    def add_tokens(self, tokens: int, *, line: int) -> None:
        """Count the tokens of one example."""
        self.tokens += tokens
        if tokens > self.longest[0]:
            self.longest = (tokens, line)


def summarize(tally: Tally, held_out: Tally | None, options: Options, *, share: float) -> Summary:
    """Return what was found in a training file and in a validation file, if there is one.

    Args:
        tally: Of the training file.
        held_out: Of the validation file.
        options: What the rules knew.
        share: Of the examples, among which repeated ones were looked for.
    """
    counts = tally.counts + (Counter() if held_out is None else held_out.counts)
    listed = [
        RuleCount(rule=name, severity=rule.severity, lines=counts[name])
        for name, rule in RULES.items()
        if counts[name]
    ]
    return Summary(
        verdict=_verdict(listed),
        size_bytes=tally.size_bytes,
        lines=tally.lines,
        examples=tally.forms.total(),
        validation_examples=None if held_out is None else held_out.forms.total(),
        forms=dict(tally.forms),
        tokens=_tokens(tally, options),
        counts=sorted(listed, key=lambda count: (count.severity, -count.lines)),
        repaired=tally.repaired,
        is_complete=tally.is_complete and (held_out is None or held_out.is_complete),
        notes=list(_notes(options, share)),
    )


def _tokens(tally: Tally, options: Options) -> TokenSummary:
    return TokenSummary(
        total=tally.tokens,
        mean=tally.tokens / max(1, tally.forms.total()),
        longest=tally.longest[0],
        longest_line=tally.longest[1],
        counted_by=options.counter.name,
        is_estimated=options.counter.is_estimate,
        context_tokens=options.context_tokens,
    )


def _verdict(counts: list[RuleCount]) -> Verdict:
    if any(count.severity == "error" for count in counts):
        return "errors"
    return "warnings" if counts else "clean"


def _notes(options: Options, share: float) -> Iterator[str]:
    if options.context_tokens is None:
        yield "No model is named: tokens are estimated from bytes, and no context is checked."
    else:
        yield "Tokens are those of prompts and answers; a chat template adds some for each turn."
    if share < 1:
        yield (
            f"The file has very many different examples: repeated ones and leakage were looked for "
            f"among 1 in {round(1 / share)} of them, chosen by a hash."
        )
