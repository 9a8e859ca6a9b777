"""What to do about a run: which saved checkpoint to take, what most likely went wrong, what to change."""
