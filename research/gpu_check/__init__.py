"""Check of crestfall on a GPU in one command, the most important part first: see `__main__`."""
