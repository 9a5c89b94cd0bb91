"""PEFT configs as choices of our tables: the method with its values, and the target modules."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from metadata.architectures import FAMILIES, ROLES, Role
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.records import Choice, Scalar, TargetModules

MOST_VALUES = 20
_CLASSES: Mapping[str, str] = {"ptuning": "promptencoder"}  # where PEFT calls them otherwise
# What people call the methods beside PEFT's own names.
ALIASES: Mapping[str, str] = {
    "fullft": "full", "fullfinetuning": "full", "finetuning": "full", "fullfinetune": "full",
    "fft": "full", "qlora": "lora", "loraall": "lora", "loraattention": "lora",
    "prompttuning": "prompt_tuning", "prefixtuning": "prefix_tuning", "ptuning": "p_tuning",
    "adaptionprompt": "adaption_prompt", "lntuning": "ln_tuning",
}  # fmt: skip
_ROLES: Mapping[str, Role] = {
    **{
        name.rpartition(".")[2]: role
        for family in FAMILIES.values()
        for name, role in family.modules
    },
    "query": "q", "key": "k", "value": "v", "q_lin": "q", "k_lin": "k", "v_lin": "v",
}  # fmt: skip
_AMBIGUOUS = frozenset({"dense", "c_proj", "out_lin"})  # of attention here, of the MLP there
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+ -]{0,39}")


def method_named(name: str) -> str | None:
    """Return the method of our table that a word names, None where there is none."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    by_plain = {re.sub(r"[^a-z0-9]", "", one): one for one in METHODS}
    return by_plain.get(plain) or ALIASES.get(plain)


def method_of(adapter: Mapping[str, Any]) -> tuple[Choice, str | None]:
    """Return the method of a PEFT config, and why it is none of our table where it is not.

    A method of our table has the values that the table knows; another one all its plain values.
    """
    kind = str(adapter.get("peft_type") or "unknown")[:60]
    specs = _specs_of(kind)
    fitting = [spec for spec in specs if _is_so(spec, adapter)]
    if not fitting:
        name = kind.lower() if _WORD.fullmatch(kind) else "unknown"
        return Choice(name=name, **_plain_values(adapter)), f"our tables have no {name} like this"
    spec = max(fitting, key=lambda one: len(one.fixed) + len(one.given))
    values = {p.name: _plain_value(adapter[p.name]) for p in spec.parameters if p.name in adapter}
    missing = [p.name for p in spec.parameters if values.get(p.name) is None]
    filled = {p.name: p.default for p in spec.parameters if p.name in missing}
    reason = f"the PEFT config says no {', '.join(missing)}" if missing else None
    return Choice(name=spec.name, **{**values, **filled}), reason


def target_of(modules: Any) -> TargetModules | None:
    """Return our name for a set of target modules, None where none means the same."""
    if isinstance(modules, str):
        return "all-linear" if modules == "all-linear" else _of_words(re.findall(r"\w+", modules))
    if not isinstance(modules, list | tuple):
        return None
    return _of_words(str(name).rpartition(".")[2] for name in modules[:1000])


def _of_words(names: Iterable[str]) -> TargetModules | None:
    found = set(names)
    if not found or found & _AMBIGUOUS or not found <= set(_ROLES):
        return None
    roles = {_ROLES[name] for name in found}
    for target, wanted in ROLES.items():
        if any(roles == wanted & layout for layout in _LAYOUTS):
            return target
    return None


_LAYOUTS = tuple({frozenset(role for _, role in family.modules) for family in FAMILIES.values()})


def _specs_of(kind: str) -> list[MethodSpec]:
    plain = re.sub(r"[^a-z0-9]", "", kind.lower())
    plain = _CLASSES.get(plain, plain)
    return [
        spec
        for spec in METHODS.values()
        if spec.target.startswith("peft.")
        and spec.target.removeprefix("peft.").removesuffix("Config").lower() == plain
    ]


def _is_so(spec: MethodSpec, adapter: Mapping[str, Any]) -> bool:
    """Say whether a config is of a method: what it fixes is so, and what its kin fix is not."""
    kin = [one for one in METHODS.values() if one.target == spec.target]
    if len(kin) == 1 and not spec.fixed:
        return True
    given = {name for one in kin for name in one.given} if len(kin) > 1 else set()
    for name in given | {name for one in kin for name in one.fixed}:
        seen = adapter.get(name)
        if name in spec.fixed:
            is_so = seen == spec.fixed[name]
        elif name in spec.given and name in given:
            is_so = bool(seen)
        elif name.startswith(("use_", "init_")):
            is_so = seen in (None, name.startswith("init_"), False, "default")
        else:
            is_so = not seen
        if not is_so:
            return False
    return True


def _plain_values(adapter: Mapping[str, Any]) -> dict[str, Scalar]:
    skipped = {"name", "peft_type", "task_type", "base_model_name_or_path", "inference_mode"}
    plain = {
        name: _plain_value(value)
        for name, value in adapter.items()
        if name not in skipped and _WORD.fullmatch(name)
    }
    kept = [(name, value) for name, value in plain.items() if value is not None]
    return dict(kept[:MOST_VALUES])


def _plain_value(value: Any) -> Scalar:
    """Return a number, a flag or one word; texts of people are not kept."""
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else None
    if isinstance(value, float) and not (-1e300 < value < 1e300):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return None
    return value if isinstance(value, bool | int | float) else None
