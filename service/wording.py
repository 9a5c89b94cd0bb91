"""Numbers and configurations in words a person likes to read, for the terminal and the pages."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from metadata.architectures import is_known
from metadata.kinds import Kind
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.records import Configuration, ModelProfile, Run, Scalar, TrainingObjective
from metadata.teaching import can_teach
from service.recommender.schemas import Effect, EvidenceSummary

Words = Callable[[float], str]
TIMES = "\N{MULTIPLICATION SIGN}"
_NB = "\N{NO-BREAK SPACE}"  # a number and its unit stay on one line
DASH = "\N{EN DASH}"
_TARGETS = {
    "qv": "the query and value maps",
    "qk": "the query and key maps",
    "attention": "the attention layers",
    "mlp": "the feed-forward layers",
    "all-linear": "all linear layers",
}
_SOURCES = {
    "portfolio": "does well across all known tasks",
    "past_winner": "won on a similar task",
    "neighbour": "is a small change of a past winner",
    "sample": "is a fresh sample of the search space",
    "default": "is the usual default",
    "rule": "follows a published rule",
    "usual": "takes its method's usual values and rate",
}
_VALUE_NAMES = {
    "target_modules": "adapters on",
    "batch_size": "examples a step",
    "topk": "top k",
    "nblocks": "blocks",
    "num_groups": "groups",
    "num_vectors": "vectors",
    "n_frequency": "frequencies",
    "boft_n_butterfly_factor": "butterfly factors",
    "theta_d_length": "shared numbers",
    "loraplus_lr_ratio": "learning rate of B over A's",
}
_WORDS = {
    "r": "rank",
    "orth": "orthogonality",
    "reg": "regularisation",
    "act": "activation",
    "fn": "function",
}
_SHORT_TITLES = Counter(spec.title.partition(",")[0] for spec in METHODS.values())
_LOADERS = {
    "peft": "PEFT, as an adapter",
    "merged": "anything, as merged weights",
    "vllm": "vLLM, as a plain LoRA adapter",
}
_OBJECTIVES = {
    "quality": "best quality",
    "balanced": "quality for its cost",
    "cheapest": "cheapest that is good",
}

_KINDS: dict[Kind, str] = {
    "free": "Everything",
    "peft": "Adapters only",
    "memory": "Half the usual memory",
    "time": "Half the usual time",
}


def kind(name: Kind) -> str:
    """Say what a kind of question allows."""
    return _KINDS[name]


def left_open(run: Run) -> str:
    """Say what the source of an imported run does not tell, and what follows."""
    if not run.origin.gaps:
        return ""
    follows = "" if can_teach(run) else "; so nothing is learnt from it"
    return f"its source does not tell {run.origin.gaps}{follows}"


def duration(seconds: float) -> str:
    """Say how long something takes: `< 1 s`, `45 s`, `12 min`, `3.4 h`, `2.1 days`."""
    if seconds < 1:
        return f"<{_NB}1{_NB}s"
    if seconds < 99.5:
        return f"{seconds:.0f}{_NB}s"
    if seconds < 99.5 * 60:
        return f"{_short(seconds / 60)}{_NB}min"
    if seconds < 47.5 * 3600:
        return f"{_short(seconds / 3600)}{_NB}h"
    return f"{_short(seconds / 86_400)}{_NB}days"


def size(count: float) -> str:
    """Say how many bytes something takes, in the binary unit that suits."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 0.9 * 1024**power:
            return f"{_short(count / 1024**power)}{_NB}{unit}"
    return f"{count:.0f}{_NB}B"


def money(usd: float | None) -> str:
    """Say a price in US dollars, a dash where the device has none."""
    if usd is None:
        return DASH
    if 0 < usd < 0.01:
        return "under $0.01"
    return f"${usd:,.2f}" if usd < 1000 else f"${usd:,.0f}"


def quantity(count: float) -> str:
    """Say a large count: `850`, `12.3 K`, `4.1 M`, `3.2 B`."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "K")):
        if count >= 0.9995 * limit:
            return f"{_short(count / (1e3 if unit == 'K' else limit))}{_NB}{unit}"
    return f"{count:,.0f}"


def rate(value: float | None) -> str:
    """Say a learning rate in two digits, as people write it: `2e-4`, `1.5e-3`."""
    if value is None:
        return DASH
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def percent(fraction: float) -> str:
    """Say a probability; nothing forecast is ever certain."""
    if 0.995 < fraction <= 1:
        return f"over 99{_NB}%"
    if 0 <= fraction < 0.005:
        return f"under 1{_NB}%"
    return f"{100 * fraction:.0f}{_NB}%"


def decimal(value: float | None, places: int = 2) -> str:
    """Say a number with a true minus sign and no negative zero; a dash where there is none."""
    if value is None:
        return DASH
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "\N{MINUS SIGN}")


def method(name: str) -> str:
    """Return the title of a method; what explains it after a comma only where two share a name."""
    title = METHODS[name].title if name in METHODS else name
    short = title.partition(",")[0]
    return title if _SHORT_TITLES[short] > 1 else short


def family(name: str) -> str:
    """Say the name of a family of methods."""
    return capitalised(name.replace("_", " "))


def unknown_layout(model: ModelProfile) -> str:
    """Say that a family's own layers are not known here, and what is counted in their place."""
    if is_known(model):
        return ""
    return (
        f"The layers of the family {model.family} are not known here: memory, time and trained "
        "weights are those of a Llama of these sizes, a first guess."
    )


def optimizer(name: str) -> str:
    """Return the title of an optimizer, without what explains it after a comma."""
    return OPTIMIZERS[name].title.partition(",")[0] if name in OPTIMIZERS else name


def schedule(name: str) -> str:
    """Return the title of a schedule."""
    return SCHEDULES[name].title if name in SCHEDULES else name


def value_name(name: str) -> str:
    """Say the name of a parameter at the start of a line: `r` is the `Rank`."""
    return capitalised(_value_name(name))


def _value_name(name: str) -> str:
    """Say the name of a parameter: `vera_dropout` is VeRA's dropout, of VeRA alone."""
    if name in _VALUE_NAMES:
        return _VALUE_NAMES[name]
    owner, _, own = name.partition("_")
    words = (own if own and owner in METHODS else name).split("_")
    return " ".join(_WORDS.get(word, word) for word in words)


def loader(serve_with: str | None) -> str:
    """Say what is to load a result; empty where nothing was asked for."""
    return "" if serve_with is None else _LOADERS.get(serve_with, serve_with)


def training(name: TrainingObjective) -> str:
    """Return what is learnt from the data in words."""
    return "DPO, on preferences" if name == "dpo" else "the loss of completions"


def objective(name: str) -> str:
    """Say what is asked for."""
    return _OBJECTIVES.get(name, name)


def feature(name: str) -> str:
    """Say the name of a meta-feature."""
    return name.replace("_", " ")


def scalar(value: Scalar, *, digits: int = 3) -> str:
    """Say one value of a configuration."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def method_values(configuration: Configuration) -> str:
    """Say the values of a method: `rank 16, alpha 32`; those that are off are left out."""
    values = ordered_values(configuration)
    shown = {k: v for k, v in values.items() if not (k.endswith("dropout") and not v)}
    return ", ".join(f"{_value_name(k)} {scalar(v, digits=2)}" for k, v in shown.items())


def ordered_values(configuration: Configuration) -> dict[str, Scalar]:
    """Return the values of a method in the order of its table entry."""
    values, spec = configuration.method.values, METHODS.get(configuration.method.name)
    names = [parameter.name for parameter in spec.parameters] if spec is not None else []
    return {name: values[name] for name in [*names, *values] if name in values}


def targets(configuration: Configuration) -> str:
    """Say which layers are adapted; empty where the method takes the whole model."""
    spec = METHODS.get(configuration.method.name)
    if spec is not None and not spec.uses_target_modules:
        return ""
    return _TARGETS[configuration.target_modules]


def passes(epochs: float) -> str:
    """Say how often the data is seen."""
    text = f"{epochs:.3g}"
    return f"{text} epoch" if text == "1" else f"{text} epochs"


def sentence(configuration: Configuration) -> str:
    """Say a whole configuration as one sentence."""
    values, where = method_values(configuration), targets(configuration)
    what = method(configuration.method.name) + (f" ({values})" if values else "")
    on = f" on {where}" if where else ""
    how = optimizer(configuration.optimizer.name)
    at = configuration.optimizer.learning_rate
    speed = f" at a learning rate of {rate(at)}" if at is not None else ""
    batch = configuration.batch_size
    examples = "1 example a step" if batch == 1 else f"{batch} examples a step"
    return f"{what}{on} with {how}{speed}, {examples} for {passes(configuration.epochs)}"


def headline(configuration: Configuration) -> str:
    """Say the three choices that matter most: `LoRA of rank 16 at a learning rate of 2e-4`."""
    rank, at = configuration.method.values.get("r"), configuration.optimizer.learning_rate
    of = f" of rank {rank}" if rank is not None else ""
    speed = f" at a learning rate of {rate(at)}" if at is not None else ""
    return capitalised(f"{method(configuration.method.name)}{of}{speed}")


def source(name: str) -> str:
    """Say where a candidate comes from."""
    return _SOURCES.get(name, name)


def date(time: datetime) -> str:
    """Say a time in this machine's own zone: `21 Nov 2025, 06:51`."""
    local = time.astimezone()
    return f"{local.day} {local:%b %Y, %H:%M}"


def capitalised(text: str) -> str:
    """Begin with a capital and leave the rest as it is."""
    return text[:1].upper() + text[1:]


def change(regret_change: float) -> str:
    """Say a change of regret with its sign."""
    text = decimal(regret_change, 3)
    return f"+{text}" if regret_change > 0 else text


def effect(choice: Effect) -> str:
    """Say one choice in words: `Rank 64`."""
    words = {"method": method, "optimizer": optimizer, "schedule": schedule}.get(choice.choice)
    value = _TARGETS.get(choice.value, choice.value)
    return f"{value_name(choice.choice)} {words(value) if words else value}"


def evidence_headline(evidence: EvidenceSummary) -> str:
    """Say what an answer stands on in one sentence."""
    stands = f"It stands on {evidence.runs:,} past runs of {evidence.tasks:,} tasks"
    if evidence.in_distribution:
        return f"{stands}, and your question is close to them."
    return f"{stands}, and your question is far from them: take the forecasts with care."


def run_figures(run: Run) -> list[tuple[str, str]]:
    """Return scores and costs in words; what was not measured is left out."""
    found: list[tuple[str, str]] = []
    if run.score is not None and run.scores is not None:
        per = "token" if run.scores.preference is None else "pair"
        found.append((f"Nats gained per {per}", decimal(run.score, 3)))
        found.append(("Loss before", decimal(run.scores.base_loss, 3)))
        found.append(("Loss, best checkpoint", decimal(run.scores.best_loss, 3)))
        found.append(("Loss, last checkpoint", decimal(run.scores.last_loss, 3)))
        if run.scores.exact_match is not None:
            found.append(("Exact match", f"{100 * run.scores.exact_match:.0f} %"))
        if run.scores.mean_reciprocal_rank is not None:
            found.append(("Mean reciprocal rank", decimal(run.scores.mean_reciprocal_rank)))
        if (preference := run.scores.preference) is not None:
            found.append(("Held-out margin of rewards", decimal(preference.margin, 3)))
            right = (
                f"{100 * preference.accuracy:.0f} %, before {100 * preference.base_accuracy:.0f} %"
            )
            found.append(("Held-out pairs ranked right", right))
    if run.costs is not None:
        found.append(("Training time", duration(run.costs.train_seconds)))
        found.append(("Evaluation time", duration(run.costs.eval_seconds)))
        found.append(("Peak tensor memory", size(run.costs.peak_tensor_bytes)))
        found.append(("Optimizer steps", f"{run.costs.steps:,}"))
        found.append(("Trained tokens", quantity(run.costs.trained_tokens)))
        found.append(("Trained weights", quantity(run.costs.trainable_parameters)))
    if run.objective.beta is not None:
        words = f"{training(run.objective.name)}, beta {run.objective.beta:g}"
        found.append(("Trained with", words))
    return found


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
