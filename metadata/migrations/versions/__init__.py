"""One file a step: a number, then what it adds."""
