"""Commands about plans: what was decided, what would be, which moves would merge free room."""
