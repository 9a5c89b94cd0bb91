"""Who works: what was claimed, renewed and seen of workers, and what each runs."""
