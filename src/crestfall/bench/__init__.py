"""Benches: a module `crestfall.bench.<what>` has `run(...) -> {what: rows}`, peers side by side in one run."""
