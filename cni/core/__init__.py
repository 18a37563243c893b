"""The CNI protocol: environment and standard input to a Request, a Result to standard output.

Knows nothing of the kernel or of files on disk; imports the standard library only.
"""
