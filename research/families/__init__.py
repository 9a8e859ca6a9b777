"""Which families of transformers models the hf policy samples, scores and rolls back exactly: see `__main__`."""
