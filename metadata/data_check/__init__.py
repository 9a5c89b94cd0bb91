"""Find all that is wrong with a training file, in memory that does not grow with its size.

`check.py` reads a file line by line and asks each rule of the table in `rules/`; what a rule finds
becomes a `Problem`. `lines.py` and `decoding.py` turn bytes into records, `forms.py` knows the
forms of a record, `sightings.py` remembers what stood before, `tokens.py` counts tokens,
`copy.py` writes a repaired copy, `summary.py` says it in numbers. To add a rule, add one entry to
a file of `rules/`.
"""
