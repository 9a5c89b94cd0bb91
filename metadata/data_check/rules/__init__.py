"""The table of rules, in the order in which a line is asked about them.

A rule is one entry of one of these files; its name is what programs know it by and never changes.
"""

from metadata.data_check.rules.examples import EXAMPLE_RULES
from metadata.data_check.rules.files import FILE_RULES
from metadata.data_check.rules.raw import RAW_RULES
from metadata.data_check.rules.records import RECORD_RULES, REFUSAL_RULES
from metadata.data_check.rules.spec import LineRule, Rule
from metadata.data_check.rules.turns import TURN_RULES
from metadata.data_check.rules.values import VALUE_RULES

LINE_RULES: tuple[LineRule, ...] = (
    *RAW_RULES,
    *VALUE_RULES,
    *RECORD_RULES,
    *TURN_RULES,
    *REFUSAL_RULES,
)
_ALL: tuple[Rule, ...] = (*LINE_RULES, *EXAMPLE_RULES, *FILE_RULES)
RULES = {rule.name: rule for rule in _ALL}
__all__ = ["EXAMPLE_RULES", "FILE_RULES", "LINE_RULES", "RULES"]
