"""Uploaded training files."""
