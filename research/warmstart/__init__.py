"""Makes the tiny policy's warm-started weights: see `__main__`."""
