"""Commands about a user's identity, settings and control planes: whoami, login, config, version, context."""
