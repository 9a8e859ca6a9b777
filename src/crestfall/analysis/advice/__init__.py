"""Advice on a run: the saved checkpoint to take, the most likely cause of a fall, the setting to change."""
