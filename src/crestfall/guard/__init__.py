"""What people take into their own training runs: guard, TRL callback, rewards."""
