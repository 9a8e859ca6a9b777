"""Logs that are still being written: read again when they change, and tested for a fall after every evaluation."""
