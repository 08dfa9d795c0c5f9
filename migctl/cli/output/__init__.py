"""How results are written: tables, JSON, YAML, names; once or watched."""
