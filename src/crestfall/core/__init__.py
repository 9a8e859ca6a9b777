"""Base layer: types, errors, randomness, signals, and components built from options."""
