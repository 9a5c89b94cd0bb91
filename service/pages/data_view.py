"""From a check and the uploaded files to what their page shows."""

from collections.abc import Sequence

from metadata.data_check.problems import Problem, RuleCount, Summary
from metadata.records import DatasetProfile
from service import wording
from service.datasets.schemas import DatasetCheckAnswer
from service.files.store import FilePage, StoredFile
from service.pages import contexts, urls
from service.pages.data_contexts import BadLine, BrokenRule, Checked, DataPage, FileLine

LINES_SHOWN = 25  # of each rule
VERDICTS = {
    "clean": ("Nothing is wrong", "good"),
    "warnings": ("It can be trained on; see the warnings", "warn"),
    "errors": ("Mend the errors first", "bad"),
}
_KINDS = {"error": "bad", "warning": "warn"}
KEEP_ORIGINAL, KEEP_REPAIRED = "original", "repaired"


def view_data(
    page: FilePage,
    *,
    models: Sequence[str],
    is_first: bool,
    model: str = "",
    checked: Checked | None = None,
    problem: contexts.Problem | None = None,
) -> DataPage:
    """Return the page of training data."""
    last = page.files[-1].id if page.files else ""
    return DataPage(
        title="Training data",
        model=model,
        models=tuple(models),
        problem=problem,
        checked=checked,
        files=tuple(_file(file) for file in page.files),
        first_link="" if is_first else urls.data(),
        next_link=urls.data(after=last) if page.has_more else "",
    )


def view_check(found: DatasetCheckAnswer, *, name: str, token: str) -> Checked:
    """Return what a check found; `token` is empty where the file is kept already."""
    summary = found.summary
    words, kind = VERDICTS[summary.verdict]
    return Checked(
        name=name,
        verdict=words,
        verdict_kind=kind,
        figures=contexts.rows(*_figures(summary)),
        rules=tuple(_rule(count, found.problems) for count in summary.counts),
        notes=tuple(summary.notes),
        repaired=urls.repaired(token, name) if token and summary.repaired else "",
        repaired_words=_repaired_words(summary),
        token=token,
        keeps=_keeps(found) if token else (),
    )


def _keeps(found: DatasetCheckAnswer) -> tuple[contexts.Row, ...]:
    """Return what can be kept: a file that can be trained on, its repaired copy where it can."""
    keeps = []
    if found.summary.verdict != "errors":
        keeps.append(contexts.Row(name=KEEP_ORIGINAL, value="Keep it as a training file"))
    errors_left = any(one.severity == "error" and not one.is_repaired for one in found.problems)
    is_told = found.summary.is_complete and not found.has_more
    if found.summary.repaired and is_told and not errors_left:
        keeps.append(contexts.Row(name=KEEP_REPAIRED, value="Keep the repaired copy"))
    return tuple(keeps)


def _repaired_words(summary: Summary) -> str:
    total = sum(count.lines for count in summary.counts)
    return f"Of {total:,} problems the repaired copy has {total - summary.repaired:,} left."


def _figures(summary: Summary) -> list[tuple[str, str]]:
    tokens = summary.tokens
    about = "about " if tokens.is_estimated else ""
    return [
        ("Lines", f"{summary.lines:,}"),
        ("Examples", f"{summary.examples:,}"),
        ("Form", ", ".join(name.replace("_", " ") for name in summary.forms)),
        ("Tokens", f"{about}{wording.quantity(tokens.total)}"),
        ("Longest", f"{about}{tokens.longest:,} tokens, line {tokens.longest_line:,}"),
        ("Context", "" if tokens.context_tokens is None else f"{tokens.context_tokens:,} tokens"),
        ("Size", wording.size(summary.size_bytes)),
        ("Read", "" if summary.is_complete else "the beginning: too much is wrong"),
    ]


def _rule(count: RuleCount, problems: Sequence[Problem]) -> BrokenRule:
    broken = [problem for problem in problems if problem.rule == count.rule]
    more = count.lines - min(len(broken), LINES_SHOWN)
    return BrokenRule(
        name=count.rule,
        severity=count.severity,
        severity_kind=_KINDS[count.severity],
        count=f"{count.lines:,} {'line' if count.lines == 1 else 'lines'}",
        must=broken[0].message,
        fix=broken[0].fix.replace("--fix does", "the repaired copy does"),
        lines=tuple(_line(problem) for problem in broken[:LINES_SHOWN]),
        more=f"{more:,}" if more else "",
    )


def _line(problem: Problem) -> BadLine:
    place = f"{problem.line:,}"
    place += "" if problem.column is None else f":{problem.column:,}"
    notes = []
    if problem.part == "validation":
        notes.append("of the validation file")
    if problem.times > 1:
        notes.append(f"{problem.times - 1:,} more in this line")
    if problem.is_repaired:
        notes.append("repaired in the copy")
    return BadLine(place=place, seen=problem.seen, note=", ".join(notes))


def _file(file: StoredFile) -> FileLine:
    profile = file.profile
    return FileLine(
        id=file.id,
        name=file.label,
        kind="results" if profile is None else profile.kind.replace("_", " "),
        examples="" if profile is None else f"{profile.examples:,}",
        size=wording.size(file.size_bytes),
        created=wording.date(file.created_at),
        created_iso=file.created_at.isoformat(),
        download=urls.file_content(file.id),
        check="" if profile is None else urls.data_move(file.id, "check"),
        delete=urls.data_move(file.id, "delete"),
        profile=None if profile is None else _profile(profile),
    )


def _profile(profile: DatasetProfile) -> contexts.Group:
    prompt, completion = profile.prompt_bytes, profile.completion_bytes
    return contexts.group(
        "Profile",
        [
            ("Prompt, median and longest", f"{prompt.p50:,} and {prompt.max:,} bytes"),
            ("Completion, median and longest", f"{completion.p50:,} and {completion.max:,} bytes"),
            ("Different completions", f"{profile.distinct_completions:,}"),
            ("Different words", f"{profile.distinct_words:,}"),
            ("Entropy of completions", f"{profile.completion_entropy_bits:.3g} bits"),
            ("Repeated words", f"{100 * profile.repeated_word_fraction:.3g} %"),
            ("Duplicates", f"{100 * profile.duplicate_fraction:.3g} %"),
            ("Compression", f"{100 * profile.compression_ratio:.3g} %"),
            ("SHA-256", profile.sha256),
        ],
    )
