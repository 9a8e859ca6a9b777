"""Parts for use in any training run: guard, TRL callback, rewards."""
