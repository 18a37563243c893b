"""What a call costs: Plait's executables beside Debian's Go plugins. `python -m tests.bench`."""
