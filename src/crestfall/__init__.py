"""crestfall: has this reinforcement-learning run already peaked, and what should carry on from there?"""

__version__ = "0.1.0"
