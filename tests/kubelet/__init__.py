"""A kubelet, as far as a plugin can see one: devices over real gRPC, and its checkpoint."""
