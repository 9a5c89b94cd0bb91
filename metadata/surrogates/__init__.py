"""The surrogates: what forecasts a run without running it."""
