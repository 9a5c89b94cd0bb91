"""A task and its configurations as numbers."""
