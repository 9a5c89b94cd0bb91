"""What a machine reaches in training, measured in a minute or two."""
