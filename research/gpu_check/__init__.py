"""What a GPU does with crestfall, in one command, the most important first: see `__main__`."""
