"""What admins do with nodes: MIG mode, cordon, drain, pools."""
