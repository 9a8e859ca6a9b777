"""The testbed: campaigns, chains and studies of reinforcement learning on code, and what they are made of."""
