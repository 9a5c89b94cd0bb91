"""One training step on fake tensors: no weights, no GPU, and yet its bytes, FLOPs and operations.

`question.py` says what is asked, `shell.py` makes a model without weights, `recorder.py` watches a
step, and `simulate.py` puts them together.
"""
