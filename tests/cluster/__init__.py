"""Tests in a cluster: a real API server, and nodes that the tests play."""
