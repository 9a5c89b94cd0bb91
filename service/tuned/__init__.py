"""What jobs have made: download it, read its card, merge it, try it."""
