"""What many past runs show: knobs, seeds, failures, coverage, differences, the front."""
