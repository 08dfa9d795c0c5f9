"""What travels: pydantic models, with the names that clients know."""
