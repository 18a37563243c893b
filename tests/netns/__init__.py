"""Plugins against the real kernel, in process, in namespaces made for each test. Needs root."""
