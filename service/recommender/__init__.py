"""From a question to ranked configurations."""
