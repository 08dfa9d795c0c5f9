"""The door of the core: a Snapshot goes in, a Plan comes out."""
