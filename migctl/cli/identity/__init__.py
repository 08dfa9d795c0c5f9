"""Commands about who asks, with which settings, of which control plane: whoami, login, config, version, context."""
