"""Make PEFT know methods of our own: `get_peft_model`, saving and loading then take them.

PEFT has a function to register a method, and it takes only names of its `PeftType`, an enum that
nothing public extends. The names are entered here as `enum` itself would.
"""

from enum import EnumMeta
from typing import Any

from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING, PeftType
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING
from peft.utils import register_peft_method

OURS = "peftwise_"  # before each name, so that PEFT may bring a method of the same name
OTHER_PEFT = "Use a version of peft that constraints.txt names."


def kind_of(method: str) -> str:
    """Return the name that PEFT keeps a method of ours under, and writes into its config files."""
    return f"{OURS}{method}".upper()


def register(method: str, config: type, model: Any) -> None:
    """Have PEFT know a method by its config class and its tuner; once more changes nothing.

    Raises:
        ImportError: PEFT keeps its methods in another way than this can extend, or has the prefix.
    """
    kind = kind_of(method)
    if kind not in PeftType.__members__:
        if model.prefix in PEFT_TYPE_TO_PREFIX_MAPPING.values():  # PEFT's own check sees none
            raise ImportError(
                f"Peftwise names the weights of {method} by {model.prefix!r}, and so does a method "
                f"of PEFT's. {OTHER_PEFT}"
            )
        _extend(kind)
    member = PeftType[kind]
    if member in PEFT_TYPE_TO_CONFIG_MAPPING:  # the method's module was loaded again
        PEFT_TYPE_TO_CONFIG_MAPPING[member] = config
        PEFT_TYPE_TO_TUNER_MAPPING[member] = model
        return
    register_peft_method(
        name=kind.lower(), config_cls=config, model_cls=model, prefix=str(model.prefix)
    )


def _extend(kind: str) -> None:
    """Enter a name into PEFT's enum."""
    try:
        assert isinstance(PeftType, EnumMeta)
        assert issubclass(PeftType, str)
        member: Any = str.__new__(PeftType, kind)
        member._name_ = member._value_ = kind
        member.__objclass__ = PeftType
        member._sort_order_ = len(PeftType)
        setattr(PeftType, kind, member)  # refused for members, so before it is one
        PeftType._member_names_.append(kind)
        PeftType._member_map_[kind] = member
        PeftType._value2member_map_[kind] = member
        assert PeftType(kind) is member is getattr(PeftType, kind)
        assert member in list(PeftType)
    except (AssertionError, AttributeError, TypeError) as error:
        raise ImportError(
            f"Peftwise enters methods of its own into PEFT's PeftType, and could not enter {kind} "
            f"({type(error).__name__}: {error}). {OTHER_PEFT}"
        ) from error
