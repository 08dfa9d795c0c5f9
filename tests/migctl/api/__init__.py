"""The API through its socket, and the rules of admission."""
