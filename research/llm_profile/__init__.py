"""Cost of sampling and of an update, compared with plain implementations: see `__main__`."""
