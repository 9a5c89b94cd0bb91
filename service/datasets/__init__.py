"""Checking training files before anything is spent on them."""
