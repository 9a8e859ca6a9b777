"""What sampling and an update cost beside what one writes first: see `__main__`."""
