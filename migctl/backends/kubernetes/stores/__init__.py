"""One file per kind of object: how it is kept in the API server."""
