"""Controllers by regret: what the best choice in hindsight ends above each of them, regime by regime."""
