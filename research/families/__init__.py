"""Families of transformers models that the hf policy samples, scores and rolls back exactly: see `__main__`."""
