"""A small Kubernetes API server over real HTTPS, and the faults that a real one has."""
