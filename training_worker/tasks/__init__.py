"""Seeded generators of text and of question-answer datasets."""
