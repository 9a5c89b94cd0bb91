"""The table of surrogates: one entry each, in its own file."""

from collections.abc import Mapping

from metadata.surrogates import forgetting, memory, portfolio, quality, time
from metadata.surrogates.spec import SurrogateSpec

SURROGATES: Mapping[str, SurrogateSpec] = {
    spec.name: spec
    for spec in (
        portfolio.SPEC,
        quality.SPEC,
        forgetting.SPEC,
        time.SPEC,
        memory.SPEC,
    )
}
