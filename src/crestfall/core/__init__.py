"""What everything else stands on: types, errors, randomness, signals, and components built from options."""
