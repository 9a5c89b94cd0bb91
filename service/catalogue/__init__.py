"""The tables as data."""
