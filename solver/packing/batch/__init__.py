"""Planning for large clusters: columns instead of objects, one exact solve instead of one request at a time."""
