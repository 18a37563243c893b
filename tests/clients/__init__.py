"""The executables under test, driven by the programs that drive them in production."""
