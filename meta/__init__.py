"""Meta plugins: they delegate to, or follow, the interface plugins."""
