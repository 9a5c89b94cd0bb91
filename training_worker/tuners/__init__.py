"""PEFT methods that no library carries."""
