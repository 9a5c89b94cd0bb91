"""What starts an attempt."""
