"""How long tests wait for what must happen: one limit, which ends a test that stands still and measures nothing."""

WAIT_S = 120.0
