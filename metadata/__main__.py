"""The meta-dataset from the command line: python -m metadata describe | fit | evaluate | ..."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable

from metadata.database import open_database
from metadata.errors import PeftwiseError
from metadata.evaluation import CostScore, Evaluation, Spread, evaluate, evaluate_table
from metadata.features.task import training_examples
from metadata.history import History
from metadata.kinds import KINDS, Kind
from metadata.knowledge import SHIPPED_KNOWLEDGE, fit_knowledge
from metadata.left_out_models import Left, left_out
from metadata.outside import OUTSIDE_RULES, read_table
from metadata.published import read_figures
from metadata.runs_file import SHIPPED_RUNS, read_runs, write_runs
from metadata.surrogates.rehearsal import COUNTS
from metadata.table import build_table

TITLES = {
    "random": "random",
    "default": "default LoRA",
    "width_rule": "at the width rule's rate",
    "best_average": "best average",
    "portfolio": "greedy portfolio",
    "ours": "ours",
}

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Look after past runs and what they teach."
)
RunsOption = Annotated[Path, typer.Option("--runs", help="Parquet file of runs")]
SeedOption = Annotated[int, typer.Option(help="of everything random")]
DatabaseOption = Annotated[
    str, typer.Option(help="such as sqlite:///peftwise.db", envvar="PEFTWISE_DATABASE_URL")
]


@app.command("describe")
def describe_runs(
    runs: RunsOption = SHIPPED_RUNS,
    not_compared: Annotated[
        bool, typer.Option("--not-compared", help="each task that is not compared, and why")
    ] = False,
) -> None:
    """Print what is in a file of runs."""
    known = read_runs(runs)
    table = build_table(known)
    console = Console()
    console.print(
        f"{len(table.runs)} runs, {len(table.rows)} different, of {len(table.tasks)} tasks over "
        f"{len(table.groups)} datasets; {len(table.core_keys)} core configurations"
    )
    _print_counts(console, "objective", Counter(run.objective.name for run in known))
    _print_counts(console, "state", Counter(run.state for run in table.runs))
    _print_counts(console, "method", Counter(run.configuration.method.name for run in table.runs))
    _print_counts(console, "model", Counter(run.task.model.id for run in table.runs))
    _print_counts(console, "dataset", Counter(run.task.dataset.group for run in table.runs))
    _print_counts(
        console,
        "training examples",
        Counter(f"of {training_examples(run.task.dataset):,}" for run in table.runs),
    )
    _print_counts(console, "source", Counter(run.origin.source for run in table.runs))
    if not_compared:
        for one in table.dropped:
            said = f"not compared: {one.dataset} on {one.model}: {one.reason}"
            console.print(said, highlight=False)
    elif table.dropped:
        compared = f"compared: {len(table.usable)} of {len(table.tasks)} tasks"
        console.print(f"{compared}; --not-compared says why others are not", highlight=False)
    figures = read_figures()
    sources = len({figure.source for figure in figures})
    console.print(f"{len(figures)} published figures of {sources} sources", highlight=False)


@app.command("fit")
def fit(
    runs: RunsOption = SHIPPED_RUNS,
    output: Annotated[Path, typer.Option(help="folder to write")] = SHIPPED_KNOWLEDGE,
    seed: SeedOption = 0,
) -> None:
    """Fit knowledge on runs and write it to a folder."""
    known = fit_knowledge(read_runs(runs), seed=seed)
    known.save(output)
    ours, portfolio = (known.held_out["regret"][name]["1"] for name in ("ours", "portfolio"))
    print(
        f"version {known.version} from {known.created_from['runs']} runs; regret at 1 on datasets "
        f"left out: ours {ours:.3f}, portfolio {portfolio:.3f}"
    )


@app.command("evaluate")
def evaluate_runs(
    runs: RunsOption = SHIPPED_RUNS,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures")] = None,
    kind: Annotated[
        list[str] | None, typer.Option(help=f"what a question allows: {', '.join(KINDS)}")
    ] = None,
    peft_only: Annotated[bool, typer.Option("--peft-only", help="the same as --kind peft")] = False,
    leave: Annotated[
        Left, typer.Option(help="leave datasets out alone, with each model, or the largest models")
    ] = "dataset",
    table: Annotated[Path | None, typer.Option(help="Parquet table of another make")] = None,
    seed: SeedOption = 0,
) -> None:
    """Leave one dataset out: regret at 1, 2, 4, 8, 16 runs and by time spent, and calibration.

    With `--leave model` each base model is left out too, beside the same with it known; with
    `--leave largest` all is learnt from base models of up to a million weights.

    A table of another make has a row per task, configuration_id and step, with score, seconds,
    config.<name> and feature.<name>.
    """
    if sum(map(bool, (kind, peft_only, table, leave != "dataset"))) > 1:
        raise typer.BadParameter(
            "--kind, --peft-only, --leave and --table are ways to play of their own, and more than "
            "one was given. Give one; kinds and base models are known of our own runs only"
        )
    if leave != "dataset":
        figures = left_out(build_table(read_runs(runs)), leave, seed=seed)
        if json_file is not None:
            json_file.write_text(json.dumps(figures, indent=1) + "\n")
        _print_left_out(Console(), figures)
        return
    if table is not None:
        found = evaluate_table(read_table(table), OUTSIDE_RULES, seed=seed)
    else:
        kinds = _kinds(["peft"] if peft_only else kind or ["free"])
        found = evaluate(read_runs(runs), seed=seed, kinds=kinds)
    if json_file is not None:
        figures = {name: result.to_json() for name, result in found.items()}
        shown = figures if len(figures) > 1 else next(iter(figures.values()))
        json_file.write_text(json.dumps(shown, indent=1) + "\n")
    for name, result in found.items():
        print(f"{name}:")
        _print_evaluation(Console(), result)


def _kinds(names: Sequence[str]) -> list[Kind]:
    known: dict[str, Kind] = {kind: kind for kind in KINDS}
    strange = [name for name in names if name not in known]
    if strange:
        raise typer.BadParameter(
            f"{strange[0]!r} is none of {', '.join(KINDS)}", param_hint="--kind"
        )
    return [known[name] for name in names]


@app.command("export")
def export_runs(
    output: Annotated[Path, typer.Argument(help="Parquet file to write")],
    database_url: DatabaseOption,
) -> None:
    """Write the run history of a database to a file."""
    history = History(open_database(database_url))
    runs = [history.get(run.id) for run in history.stream()]  # a stream leaves curves out
    write_runs(output, runs)
    print(f"{len(runs)} runs written to {output.name}")


@app.command("import")
def import_runs(
    file: Annotated[Path, typer.Argument(help="Parquet file to read")],
    database_url: DatabaseOption,
) -> None:
    """Add the runs of a file to the run history of a database; those known are skipped."""
    runs = read_runs(file)
    added = History(open_database(database_url)).add_many(runs)
    print(f"{added} runs added, {len(runs) - added} known already")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 for done, 1 for what cannot be done, 2 for wrong use."""
    try:
        app(arguments, prog_name="python -m metadata")
    except SystemExit as end:  # how typer ends, whatever the outcome
        return end.code if isinstance(end.code, int) else 0
    except PeftwiseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _print_counts(console: Console, name: str, counts: Counter[str]) -> None:
    shown = ", ".join(f"{count} {value}" for value, count in counts.most_common())
    console.print(f"by {name}: {shown}", highlight=False)


def _print_evaluation(console: Console, result: Evaluation) -> None:
    table = _regret_table(
        f"Mean regret of the best so far, one of {result.datasets} datasets left out "
        "(0: best of the core, 1: its median)",
        "runs",
        result.regret,
    )
    table.add_section()
    table.add_row("ours - portfolio", *(f"{result.difference[k].mean:+.3f}" for k in COUNTS))
    table.add_row("90 % interval", *(_interval(result.difference[k]) for k in COUNTS))
    console.print(table)
    if result.regret_by_budget:
        title = "Mean regret of what is found in the time of so many default runs"
        console.print(_regret_table(title, "default runs", result.regret_by_budget))
    for line in _lines(result):
        console.print(line, highlight=False)


def _print_left_out(console: Console, figures: Mapping[str, Any]) -> None:
    for name, regret in figures["regret"].items():
        console.print(_regret_table(f"Mean regret of the best so far, {name}", "runs", regret))
    if "ratio" in figures:
        shown = _shown(Spread(**figures["ratio"]))
        console.print(f"ours at 1, unknown over known: {shown}", highlight=False)


def _regret_table(title: str, unit: str, regret: Mapping[str, Mapping[int, float]]) -> RichTable:
    """Return a row for each player and a column for each number of `unit`."""
    table = RichTable(title=title)
    table.add_column(unit, no_wrap=True)
    for number in next(iter(regret.values())):
        table.add_column(str(number), justify="right", no_wrap=True)
    for player, by_number in regret.items():
        style = "bold" if player == "ours" else ""
        table.add_row(TITLES[player], *(f"{one:.3f}" for one in by_number.values()), style=style)
    return table


def _lines(result: Evaluation) -> list[str]:
    return [
        f"{result.pairs} tasks, {result.rows} configurations tried on them; default and width "
        "rule go on at random after their first run",
        f"Kendall's tau of forecast and regret within a task: {_shown(result.tau)}",
        f"90 % intervals of regret hold {_shown(result.coverage)}",
        *_cost_line("training time", result.time),
        *_cost_line("peak memory", result.memory),
        "chosen inside the folds: "
        + ", ".join(f"{count} x ({name})" for name, count in result.stands_on.items()),
        *(f"not compared: {one.dataset} on {one.model}: {one.reason}" for one in result.dropped),
    ]


def _cost_line(name: str, score: CostScore | None) -> list[str]:
    if score is None:
        return []
    return [
        f"{name}: median error {score.median_error:.1%}, "
        f"90 % intervals hold {_shown(score.coverage)}"
    ]


def _shown(spread: Spread) -> str:
    return f"{spread.mean:.3f} ({spread.low:.3f} to {spread.high:.3f})"


def _interval(spread: Spread) -> str:
    return f"{spread.low:+.3f}\n{spread.high:+.3f}"


if __name__ == "__main__":
    sys.exit(main())
