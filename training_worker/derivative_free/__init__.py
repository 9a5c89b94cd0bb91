"""Training without gradients: by populations of candidates, or by differences of two losses."""
