"""The built executables, started as a runtime starts them, in namespaces made for each test.

Imports nothing of the source tree: what is tested is what lies in PLAIT_BIN. Needs root.
"""
