"""Other people's logs as trajectories: one small file per format, `load` for paths of any kind."""
