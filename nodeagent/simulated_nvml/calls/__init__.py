"""The C functions by family; importing a module registers its functions."""
