"""Which of several base models would be best for some data."""
