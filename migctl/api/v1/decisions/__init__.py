"""Plans and events at the edge of the API."""
