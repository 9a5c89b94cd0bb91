"""The filter language of runs: text -> tree -> SQL, the same in API, command line and page.

    method = 'lora' and (score > 0.5 or train_seconds < 60) and not state = 'failed'
    configuration.method.r in (8, 16) and dataset_name like 'trec%' and score is not null

`words` cuts the text, `grammar` makes the tree, `fields` knows the names, `compile` makes SQL.
Every error points at the character.
"""

from metadata.query.compile import compile_filter, field_of, named_fields
from metadata.query.fields import ARCHIVED, Field, known_fields

__all__ = ["ARCHIVED", "Field", "compile_filter", "field_of", "known_fields", "named_fields"]
