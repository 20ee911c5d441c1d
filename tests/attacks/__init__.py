"""A hostile broker, hostile agents: what each tries, and what gets through."""
