"""A generated family of small programming problems, each with a canonical key by meaning."""

from crestfall.testbed.tasks.builtin.source import CONVENTIONS, Builtin, drawn, pool_of, problem_of, returning

__all__ = ["CONVENTIONS", "Builtin", "drawn", "pool_of", "problem_of", "returning"]
