"""Optimizers that no library carries in the form that the table names, one file each."""
