"""Fine-tuning jobs and their attempts."""
