"""The API server and the kubelet: what a node's plugins ask them."""
