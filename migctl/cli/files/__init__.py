"""Commands about files: `apply -f`, `delete -f`, `diff -f`, and how their documents are read."""
