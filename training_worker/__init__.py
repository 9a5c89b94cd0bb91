"""Executes runs with torch, transformers and peft; `run.py` tells the story of one."""
