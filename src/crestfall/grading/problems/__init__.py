"""Files of problems: what each benchmark calls its fields, read into `Problem`s."""
